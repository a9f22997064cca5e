// Package audio measures sound: what a file is, how long it lasts, its sample
// rate and channels, all from the data itself. It also gives a WAV file that was
// streamed the sizes that its writer did not know.
//
// Identify reads WAV (RIFF and RF64), FLAC, MP3, Ogg with Vorbis or Opus, and
// M4A. It does not decode: it goes from frame to frame, packet to packet or
// through the table of packets, and counts what is there. A total that a header
// gives is not believed where the frames can be counted.
//
// What is no such sound, or is too damaged to count, is unsupported_media with a
// hint; an error of the reader is returned with the reader's own error inside.
//
// Imports: the root package and the standard library. The package holds no
// state, starts no goroutine and opens no file.
//
// What must never happen here: a panic on any input, an allocation sized by a
// number of the file, a loop that the file's size does not bound, a duration
// that is negative or longer than MaxDuration.
package audio
