package fit

import (
	"testing"

	"github.com/jeantrail/jeantrail-ai/registry/catalogue"
)

const gib = 1 << 30

// machines are what people have. Of the memory the system holds some already.
var machines = map[string]Machine{
	"laptop with 8 GB":     {RAMTotal: 8 * gib, RAMAvailable: 5 * gib, RAMBandwidth: 20e9, DiskFree: 200 * gib},
	"PC with 16 GB and 8":  {RAMTotal: 16 * gib, RAMAvailable: 12 * gib, RAMBandwidth: 40e9, DiskFree: 200 * gib, Devices: []Device{{Name: "GPU A", VRAMFree: 8*gib - 300<<20, VRAMTotal: 8 * gib, Bandwidth: 270e9}}},
	"PC with a 24 GB GPU":  {RAMTotal: 32 * gib, RAMAvailable: 28 * gib, RAMBandwidth: 60e9, DiskFree: 200 * gib, Devices: []Device{{Name: "GPU B", VRAMFree: 24*gib - 300<<20, VRAMTotal: 24 * gib, Bandwidth: 930e9}}},
	"workstation of 64 GB": {RAMTotal: 64 * gib, RAMAvailable: 60 * gib, RAMBandwidth: 75e9, DiskFree: 200 * gib},
	"server of 512 GB":     {RAMTotal: 512 * gib, RAMAvailable: 500 * gib, RAMBandwidth: 400e9, DiskFree: 2000 * gib},
}

// fromCatalogue sizes an entry of the catalogue.
func fromCatalogue(t testing.TB, name string) Model {
	t.Helper()
	c, err := catalogue.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := FromCatalogue(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shaped is a model of a shape whose weights take so many bytes.
func shaped(t testing.TB, name string, s catalogue.Shape, weights int64) Model {
	t.Helper()
	m, err := FromCatalogue(catalogue.Model{Name: name, Shape: s, Files: []catalogue.File{{Bytes: weights}}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// near reports whether a number is within a part of another.
func near(got, want int64, part float64) bool {
	return float64(got) >= float64(want)*(1-part) && float64(got) <= float64(want)*(1+part)
}

// fromCatalogueShape is the shape of an entry of the catalogue.
func fromCatalogueShape(t testing.TB, name string) catalogue.Shape {
	t.Helper()
	c, err := catalogue.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return c.Shape
}
