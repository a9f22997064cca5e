package testkit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"strings"
)

// A chatMessage has a text, or parts of text and pictures.
type chatMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// read returns the text and the pictures, which must be data URLs: the real
// servers fetch other URLs, this one only notes that it would have.
func (m chatMessage) read(s *Server) (string, []Picture, error) {
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return text, nil, nil
	}
	var parts []struct {
		Type  string `json:"type"`
		Text  string `json:"text"`
		Image struct {
			URL string `json:"url"`
		} `json:"image_url"`
	}
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		return "", nil, errors.New("'content' must be a string or an array of parts")
	}
	var texts []string
	var pictures []Picture
	for _, p := range parts {
		switch p.Type {
		case "text":
			texts = append(texts, p.Text)
		case "image_url":
			picture, err := decodePicture(s, p.Image.URL)
			if err != nil {
				return "", nil, err
			}
			pictures = append(pictures, picture)
		default:
			return "", nil, fmt.Errorf("unsupported content[].type %q", p.Type)
		}
	}
	return strings.Join(texts, "\n"), pictures, nil
}

func decodePicture(s *Server, url string) (Picture, error) {
	head, data, ok := strings.Cut(url, ",")
	if !ok || !strings.HasPrefix(head, "data:image/") || !strings.HasSuffix(head, ";base64") {
		s.Note("fetched %s", url)
		return Picture{}, errors.New("failed to load image or audio file")
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return Picture{}, errors.New("invalid base64 value")
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return Picture{}, errors.New("failed to load image or audio file")
	}
	return Picture{Data: raw, Width: config.Width, Height: config.Height}, nil
}
