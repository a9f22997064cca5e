package store

import (
	"database/sql"
	"io/fs"
)

// Writer lets a test change what the methods would never write.
func (s *Store) Writer() *sql.DB { return s.writer }

// Readers lets a test hold a read transaction open.
func (s *Store) Readers() *sql.DB { return s.readers }

// Migrations are the embedded files.
func Migrations() fs.FS { return migrations }

// Rules names what Verify checks.
func Rules() []string {
	names := []string{soundFile}
	for _, r := range rules {
		names = append(names, r.name)
	}
	return names
}

// Failed is how an error of the driver reaches callers.
var Failed = failed

// Waiting is how many writes wait for their transaction, the leader's included
// as long as it waits for the writer.
func (s *Store) Waiting() int {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return len(s.group.waiting)
}
