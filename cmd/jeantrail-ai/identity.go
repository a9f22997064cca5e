package main

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"

	builtinmodel "github.com/jeantrail/jeantrail-ai/build/builtin-model"
	"github.com/jeantrail/jeantrail-ai/engine"
	"github.com/jeantrail/jeantrail-ai/engine/native"
)

// identify finds out which file it is that was loaded, after the first jobs can
// run. Until it is known, no result is kept for later.
func (l *loader) identify(ctx context.Context) {
	sum := builtinmodel.SHA256
	if !l.entry.BuiltIn {
		var err error
		if sum, err = l.models.Checksum(ctx, l.entry.Path); err != nil {
			if ctx.Err() == nil {
				l.models.opt.Logger.Warn("the model's checksum is not known; its results are not kept for later", "error", err)
			}
			return
		}
	}
	l.checksum.Store(&sum)
	if l.settings.MMProjPath == "" {
		return
	}
	sum, err := l.models.Checksum(ctx, l.settings.MMProjPath)
	if err != nil {
		if ctx.Err() == nil {
			l.models.opt.Logger.Warn("the projector's checksum is not known; results about images are not kept for later", "error", err)
		}
		return
	}
	l.projector.Store(&sum)
}

// known is a checksum, "" until it is known.
func known(sum *atomic.Pointer[string]) string {
	if s := sum.Load(); s != nil {
		return *s
	}
	return ""
}

// identity is everything besides a request that can change its result: the
// model's file, the code that computes it, and what that runs on.
func (l *loader) identity(info engine.Info) string {
	sum := known(&l.checksum)
	if sum == "" {
		return ""
	}
	build := native.BuildInfo()
	return strings.Join([]string{
		sum, build.Tree, build.CPU, build.Backends, info.Device, strconv.Itoa(info.LayersOffloaded), strconv.Itoa(info.Threads),
		strconv.Itoa(info.NUBatch), strconv.FormatBool(info.Unified),
	}, "|")
}
