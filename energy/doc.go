// Package energy measures what the machine draws while jobs are at work, where
// the machine lets us measure that, and gives each job its share.
//
// What is read. RAPL, the processor's own counters (package domains, and memory
// domains, which lie beside them), and NVML, the counters of NVIDIA's GPUs; the
// two add up. Only if neither can be read, the rate at which the battery
// discharges, integrated over time: that is the whole machine's. Nothing else
// is a source, and where there is none the answer is why, in words.
//
// A job's share is a convention. What was drawn between two readings is divided
// equally among the jobs that were at work between them, however much each of
// them did. It includes what the machine draws when idle and what other programs
// draw; RAPL and NVML leave out the rest of the machine (disks, fans, screen, the
// power supply's loss), and RAPL alone leaves out the GPU. The shares of a
// moment add up to what was drawn in it; what is drawn while no job is at work is
// nobody's.
//
// Most kernels let only root read RAPL, because its counters can tell a patient
// observer what another program computes. A udev rule opens them to one group:
//
//	SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl:*", RUN+="/bin/chgrp jeantrail /sys%p/energy_uj", RUN+="/bin/chmod g+r /sys%p/energy_uj"
//
// NVML needs a program that was built with the tag nvml: its binding takes
// linker flags that let any missing C function pass, which a build without a GPU
// is not to pay for. The library itself is loaded when the meter is opened.
//
// It may import the root package, the standard library and, under that tag,
// go-nvml.
//
// Ownership: a Meter owns its sources and one goroutine, the only one to read
// them, which exists while there are shares. Close ends both.
//
// What must never happen here: a figure that was not measured (a counter that
// was set back, a reading that failed or came too late leave the jobs that were
// at work without one), a float in an amount, or a job that waits for a counter
// longer than a moment.
package energy
