// Package memory keeps the one memory budget: how much the models in process and
// the workers hold together, and who must let go so that another fits.
//
// It counts and decides; it measures nothing and frees nothing itself. Who holds
// memory registers as a Holder and says how much, and how it can be made to let
// go. Who needs memory asks with Need, and gets room that nobody else counts on.
// When there is not enough, holders that are idle, may be unloaded and are not
// pinned are unloaded, the least recently used first; if that is not enough, the
// caller waits for those that are busy. Nothing busy is ever unloaded.
//
// The order is first come, first served, for those who need more than they hold.
// Who is first in the queue lays claim to the holders that must let go for it:
// they are not taken into use again before it was served, so that it is served
// although they are always in demand. Whoever needs no more than it holds, and
// is not claimed, goes on at once.
//
// Waiting is not using. If A needs B's room and B needs A's, then of the two
// that which asked first gets it, and the other when the first is done. A caller
// must not wait for one holder while it uses another: two that do so with each
// other's wait until the context of one of them ends.
//
// It may import the root package and the standard library. It starts no
// goroutine: a holder's function to unload runs in that of the caller who needs
// the room.
//
// What must never happen here: more room granted than there is, a holder that is
// unloaded while somebody uses it, or a caller that waits for room which nobody
// can make.
package memory
