package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/jeantrail/jeantrail-ai/doctor"
	"github.com/jeantrail/jeantrail-ai/store"
)

func (l *looker) lookAtHome(context.Context) ([]doctor.Finding, error) {
	h := doctor.Home{Path: l.home, Source: l.source, User: userName(), Modes: runtime.GOOS != "windows"}
	if h.Err, h.Hint = words(l.homeErr); l.homeErr != nil {
		return doctor.CheckHome(h), nil
	}
	info, err := os.Stat(l.home)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if h.There = err == nil; !h.There {
		h.Above = nearestFolder(l.home)
		h.AboveOK, _ = writable(h.Above)
		return doctor.CheckHome(h), nil
	}
	h.Folder, h.Mode = info.IsDir(), info.Mode()
	h.Writable, h.ReadOnly = writable(l.home)
	owner, known := ownerOf(info)
	if known {
		h.Owner = nameOfUser(owner)
		h.Foreign = os.Geteuid() != owner && os.Geteuid() != 0
	}
	for _, folder := range []string{"", "models", "prefix", "artifacts"} {
		entries, err := os.ReadDir(filepath.Join(l.home, folder))
		if err != nil {
			continue // it is not there, or what was found already says why not
		}
		for _, e := range entries {
			entry := doctor.Entry{Path: filepath.Join(l.home, folder, e.Name())}
			info, err := e.Info()
			if err != nil {
				continue // it was removed at this moment
			}
			entry.Mode = info.Mode()
			if id, ok := ownerOf(info); ok && known && id != owner && e.Name() != "workers" {
				entry.Owner = nameOfUser(id)
				h.Alien = append(h.Alien, entry)
			}
			secret := folder == "" && (e.Name() == instanceFile || strings.HasPrefix(e.Name(), "jeantrail.db"))
			if secret && info.Mode().Perm()&0o077 != 0 {
				entry.Want = 0o600
				h.Open = append(h.Open, entry)
			}
		}
	}
	return doctor.CheckHome(h), nil
}

func nameOfUser(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(id)
}

func nameOfGroup(id int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(id)); err == nil {
		return g.Name
	}
	return strconv.Itoa(id)
}

func (l *looker) lookAtDatabase(ctx context.Context) ([]doctor.Finding, error) {
	config, _ := l.config()
	path, err := config.databasePath()
	if err != nil {
		return nil, err // the check of the configuration says what is wrong
	}
	// The check of the pages ends before this one does.
	limited, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	e, err := store.Examine(limited, path)
	d := doctor.Database{
		Path: path, There: e.There, Bytes: e.Bytes, WAL: e.WAL, Version: e.Schema, Newest: e.Newest, Unsound: e.Complaints, Checked: e.Checked,
	}
	if limited.Err() != nil {
		err = nil
	}
	d.Err, d.Hint = words(err)
	return doctor.CheckDatabase(d), nil
}
