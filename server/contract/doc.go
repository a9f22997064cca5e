// Package contract has no code of its own, only tests: they run the server on
// the real gateway and the real store, with a scripted backend in the place of a
// model, and hold every answer against the OpenAPI document that the same server
// publishes.
//
// They stand apart from server because of what they import: the OpenAPI
// validator, which takes longer to build than all of server, and gateway and
// store, which server itself must not reach.
//
// What must never happen here: code that anything else imports, a fake of the
// gateway or of the store, or an answer whose schema is not checked.
package contract
