package compose

import (
	_ "embed"
	"path/filepath"
	"slices"
)

// FileName is what the file is called, wherever it lies.
const FileName = "docker-compose.ai.yml"

// Project is the name under which docker keeps the containers.
const Project = "jeantrail-ai"

// ProfileGPU is the profile of the services that need an NVIDIA card.
const ProfileGPU = "gpu"

// HomeVariable is the environment variable that tells the file where the home
// is.
const HomeVariable = "JEANTRAIL_HOME"

// UserVariable is the environment variable that tells the file as whom the
// servers run: UID:GID, of somebody who can read the model files.
const UserVariable = "WORKER_USER"

//go:embed docker-compose.ai.yml
var file []byte

// File returns the compose file.
func File() []byte { return slices.Clone(file) }

// Service is one worker as the file describes it.
type Service struct {
	Name  string // of the worker, and of its service without a card
	GPU   string // the service with a card, "" if there is none
	Port  int    // on 127.0.0.1
	Files []ModelFile
}

// Service returns the name of the service to start. Without one for a card it is
// the same either way.
func (s Service) Service(gpu bool) string {
	if gpu && s.GPU != "" {
		return s.GPU
	}
	return s.Name
}

// ModelFile is a file that must be in the home before a service can start.
type ModelFile struct {
	Service  string // of whose folder
	Name     string // unless the variable says another
	Variable string // environment variable for another name
	Source   string // where it can be had
	Size     string // about, for a person
}

// Path returns where the file has to be. getenv tells the environment.
func (m ModelFile) Path(home string, getenv func(string) string) string {
	name := m.Name
	if other := getenv(m.Variable); other != "" {
		name = other
	}
	return filepath.Join(Folder(home, m.Service), name)
}

// Folder returns the folder of the home that a service reads its models from.
func Folder(home, service string) string { return filepath.Join(home, "workers", service) }

// Services lists every worker of the file.
func Services() []Service {
	return []Service{
		{Name: "sdxl", GPU: "sdxl-gpu", Port: 8002, Files: []ModelFile{
			{Service: "sdxl", Name: "sd_xl_base_1.0.safetensors", Variable: "SDXL_MODEL", Size: "6.9 GB",
				Source: "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0"},
			{Service: "sdxl", Name: "sdxl_vae-fp16-fix.safetensors", Variable: "SDXL_VAE", Size: "335 MB",
				Source: "https://huggingface.co/madebyollin/sdxl-vae-fp16-fix, there called sdxl_vae.safetensors"},
		}},
		{Name: "whisper", GPU: "whisper-gpu", Port: 8004, Files: []ModelFile{
			{Service: "whisper", Name: "ggml-large-v3-turbo.bin", Variable: "WHISPER_MODEL", Size: "1.6 GB",
				Source: "https://huggingface.co/ggerganov/whisper.cpp"},
		}},
		{Name: "coqui", Port: 8005},
	}
}
