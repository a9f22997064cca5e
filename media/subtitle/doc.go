// Package subtitle writes the segments of a transcription as SRT, as WebVTT, or
// as plain text.
//
// The servers that transcribe can write subtitles, too, each in its own way and
// some with a wrong content type; asked for segments they all say the same, and
// what is made of them here is the same whoever heard the speech.
//
// Imports: the root package and the standard library. Nothing here can fail.
//
// What must never happen here: text that a player takes for the end of a
// caption, for its times or for markup that nobody wrote; a caption without text
// or without duration.
package subtitle
