// Package testkit holds doubles of the local AI servers that media speaks to:
// each answers as the real server does, its bad habits included, and gives
// real pictures, real sound and durations measured from what was uploaded.
//
//	srv := testkit.Serve(t, testkit.SDServer{})
//	srv.Fault("/sdapi/v1/txt2img", testkit.Hang())
//	... use srv.URL ...
//	srv.AwaitCancelled(1)
//
// A double is a value with knobs whose zero value is the server as it is
// shipped. Serve puts it on a loopback port, writes down what it is asked, and
// takes it away when the test ends.
//
// The package is for tests only: nothing that is shipped may import it, and it
// imports nothing of this module. A double must never be kinder than the
// server that it stands for, and must never fetch or open what a request names.
package testkit
