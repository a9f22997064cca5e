//go:build cgo

package llama

import "testing"

func TestWhichDevicesShareTheMemory(t *testing.T) {
	for _, tt := range []struct {
		kind              DeviceKind
		system, processor string
		want              bool
	}{
		{DeviceCPU, "linux", "amd64", true}, {DeviceGPU, "linux", "amd64", false}, {DeviceIGPU, "linux", "amd64", true},
		{DeviceAccel, "linux", "amd64", true}, {DeviceGPU, "linux", "arm64", false},
		{DeviceGPU, "darwin", "arm64", true}, {DeviceGPU, "darwin", "amd64", false},
	} {
		if got := sharesMemory(tt.kind, tt.system, tt.processor); got != tt.want {
			t.Errorf("kind %d on %s/%s: %v", tt.kind, tt.system, tt.processor, got)
		}
	}
	var cpu int
	for _, d := range Devices() {
		if d.Name == "" || d.FreeBytes < 0 || d.FreeBytes > d.TotalBytes {
			t.Errorf("device %+v", d)
		}
		if d.Kind == DeviceCPU {
			cpu++
			if !d.SharesMemory || d.TotalBytes == 0 {
				t.Errorf("the CPU is %+v", d)
			}
		}
	}
	if cpu != 1 {
		t.Errorf("%d CPUs are among the devices", cpu)
	}
}
