package server

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// sniffBytes is how much of a file's beginning tells what it is.
const sniffBytes = 512

// mediaTypeOf returns what a file is by how it begins, "" if that is not known.
// What a client calls it does not count.
func mediaTypeOf(head []byte) string {
	for _, known := range []struct{ begin, mediaType string }{
		{"\x89PNG\r\n\x1a\n", "image/png"}, {"\xff\xd8\xff", "image/jpeg"}, {"GIF87a", "image/gif"}, {"GIF89a", "image/gif"},
		{"fLaC", "audio/flac"}, {"OggS", "audio/ogg"}, {"ID3", "audio/mpeg"}, {"\x1a\x45\xdf\xa3", "audio/webm"},
	} {
		if strings.HasPrefix(string(head), known.begin) {
			return known.mediaType
		}
	}
	switch {
	case len(head) < 12:
		return ""
	case bytes.HasPrefix(head, []byte("RIFF")) || bytes.HasPrefix(head, []byte("RF64")):
		switch string(head[8:12]) {
		case "WAVE":
			return "audio/wav"
		case "WEBP":
			return "image/webp"
		}
	case bytes.HasPrefix(head, []byte("BM")) && len(head) >= 14 && binary.LittleEndian.Uint32(head[6:]) == 0:
		return "image/bmp"
	case bytes.HasPrefix(head, []byte("FORM")) && bytes.HasPrefix(head[8:], []byte("AIF")):
		return "audio/aiff"
	case string(head[4:8]) == "ftyp":
		return isoMediaType(string(head[8:12]))
	case head[0] == 0xff && head[1]&0xf6 == 0xf0:
		return "audio/aac"
	case mpegFrame(head):
		return "audio/mpeg"
	}
	return ""
}

// isoMediaType tells by the brand what is in a file of the MPEG-4 family.
func isoMediaType(brand string) string {
	switch brand {
	case "avif", "avis":
		return "image/avif"
	case "heic", "heix", "hevc", "mif1", "msf1":
		return "image/heic"
	default:
		return "audio/mp4"
	}
}

// mpegFrame reports whether a frame of MPEG audio stands at the beginning.
func mpegFrame(head []byte) bool {
	sync := head[0] == 0xff && head[1]&0xe0 == 0xe0
	version, layer := head[1]>>3&3, head[1]>>1&3
	bitrate, rate := head[2]>>4, head[2]>>2&3
	return sync && version != 1 && layer != 0 && bitrate != 0 && bitrate != 15 && rate != 3
}

// fileEnding returns what a file of a media type that we hand out is called by;
// inline says that a browser may show it in the place of a page.
func fileEnding(mediaType string) (ending string, inline bool) {
	switch mediaType {
	case "image/png":
		return "png", true
	case "image/jpeg":
		return "jpg", true
	case "image/webp":
		return "webp", true
	case "image/gif":
		return "gif", true
	case "audio/wav":
		return "wav", true
	case "audio/mpeg":
		return "mp3", true
	case "audio/ogg":
		return "ogg", true
	case "audio/flac":
		return "flac", true
	case "audio/mp4":
		return "m4a", true
	case "text/vtt":
		return "vtt", true
	case "application/x-subrip":
		return "srt", false
	case "text/plain":
		return "txt", true
	default:
		return "bin", false
	}
}
