// Package gguf looks into a GGUF model file before native code does.
//
// llama.cpp refuses most malformed files with a null pointer and a line in its
// log, but some inputs reach an assertion and end the process it is embedded
// in. This package reads the same bytes in Go, under hard limits, and says in
// words what is wrong with them: Read checks the container (header, metadata,
// tensor table, extents), Validate what llama.cpp and the model's own graph
// rely on, ValidateProjector the same for the files with which models read
// images. It also describes a sound file (Summary, Projector), says what memory
// it will take (EstimateMemory), and writes new files (Writer).
//
// Imports: the standard library only. The package holds no state, starts no
// goroutine and keeps no file open; a File is plain data and safe for
// concurrent reading. Every allocation made for a file is checked against the
// bytes that the file can still supply, so a small file can never ask for much
// memory.
//
// What must never happen here: a panic on any input, an allocation sized by an
// unchecked number of the file, reading tensor data (files are larger than
// memory), or accepting what llama.cpp would abort on.
package gguf
