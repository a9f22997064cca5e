package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jeantrail/jeantrail-ai/registry/gguf"
)

// Sum is the checksum of a model.
type Sum struct {
	// SHA256 is that of its file, and for a split model that SumOf makes of those
	// of its parts; in hexadecimal.
	SHA256 string
	Files  []FileSum // the file, or the parts in order
}

// FileSum is the checksum of one file.
type FileSum struct {
	Path   string
	Bytes  int64
	SHA256 string // in hexadecimal
}

// SumOf returns the checksum of a model from those of its files in order: of one
// file its own; of several the SHA-256 over their hexadecimal sums, each with a
// line feed behind it, as this says:
//
//	sha256sum NAME-?????-of-00003.gguf | cut -c1-64 | sha256sum
func SumOf(sums []string) string {
	if len(sums) == 1 {
		return sums[0]
	}
	h := sha256.New()
	for _, sum := range sums {
		h.Write([]byte(sum + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Hash returns the SHA-256 of the model at path, as HashModel makes it.
func Hash(ctx context.Context, path string, done func(read, total int64)) (string, error) {
	sum, err := HashModel(ctx, path, done)
	return sum.SHA256, err
}

// HashModel reads the model at path, its file or all parts of which it is the
// first, and returns the checksums. done, if not nil, is told how many bytes of
// how many in all were read.
func HashModel(ctx context.Context, path string, done func(read, total int64)) (Sum, error) {
	paths, err := gguf.PartPaths(path)
	if err != nil {
		return Sum{}, wrap(path, err)
	}
	sum := Sum{Files: make([]FileSum, len(paths))}
	var total, before int64
	for i, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return Sum{}, fmt.Errorf("hash model: %w", err)
		}
		sum.Files[i] = FileSum{Path: p, Bytes: info.Size()}
		total += info.Size()
	}
	sums := make([]string, len(paths))
	for i := range sum.Files {
		f := &sum.Files[i]
		f.SHA256, err = HashFile(ctx, f.Path, func(read, _ int64) {
			if done != nil {
				done(before+read, total)
			}
		})
		if err != nil {
			return Sum{}, err
		}
		before += f.Bytes
		sums[i] = f.SHA256
	}
	sum.SHA256 = SumOf(sums)
	return sum, nil
}

// HashFile returns the SHA-256 of one file in hexadecimal, whatever it is. done,
// if not nil, is told how many bytes of how many were read.
func HashFile(ctx context.Context, path string, done func(read, total int64)) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash model: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("hash model: %w", err)
	}
	h := sha256.New()
	buf := make([]byte, 1<<20)
	var read int64
	for {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		read += int64(n)
		if done != nil {
			done(read, info.Size())
		}
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", fmt.Errorf("hash model: %w", err)
		}
	}
}
