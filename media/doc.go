// Package media is where the clients of local containers live: SDXL for
// pictures, Whisper for transcription, Coqui for speech.
//
// Each client satisfies the gateway's Backend interface by structure and
// imports the root package only. It talks to loopback and private addresses,
// measures what it was given instead of believing what it is told, and holds
// nothing of a file name that a user sent.
//
// There is no client yet: requests for pictures, transcription and speech are
// answered "unsupported" by server.
package media
