package hub

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/registry/hub/hubtest"
)

// nginx finds the program: on the PATH, where build/setup puts it, or in the
// folders of servers, which are not on everybody's PATH.
func nginx(t *testing.T) string {
	t.Helper()
	for _, place := range []string{"nginx", "../../build/bin/nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	t.Skip("nginx is not there; build/setup test fetches it or says how")
	return ""
}

// startNginx serves a folder as plain files, without root, and returns the
// address.
func startNginx(t *testing.T, files string) string {
	t.Helper()
	binary := nginx(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	address := l.Addr().String()
	own := t.TempDir()
	config := filepath.Join(own, "nginx.conf")
	user := ""
	if os.Getuid() == 0 { // its worker would else be somebody who may not read the test's folders
		user = "user root;"
	}
	text := fmt.Sprintf(`
daemon off;
worker_processes 1;
%[4]s
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	default_type application/octet-stream;
	server { listen %[2]s; root %[3]s; location /locked/ { return 403; } }
}
`, own, address, files, user)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-p", own, "-c", config)
	// It inherits the listening socket: there is no moment in which it is not
	// ready, and none in which another program takes the port.
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Env = append(os.Environ(), "NGINX=3;")
	var output strings.Builder
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.Close() // the child has its own hold of the socket
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it ends its worker first
		if t.Failed() {
			t.Log(output.String())
		}
	})
	return "http://" + address
}

func TestNginxAsAFileServer(t *testing.T) {
	files := t.TempDir()
	content := hubtest.Content(5<<20+1, 1)
	for name, data := range map[string][]byte{
		"m-Q4_K_M.gguf": content, "v-00001-of-00002.gguf": content[:100_000], "v-00002-of-00002.gguf": content[:50_000], "page.gguf": []byte("<html>no</html>"),
	} {
		if err := os.WriteFile(filepath.Join(files, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	url := startNginx(t, files)
	c, err := New(Options{Folder: t.TempDir(), PartBytes: 1 << 20, Validate: accept, ValidateSplit: acceptAll})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, l := pullOne(t, c, Request{Source: url + "/m-Q4_K_M.gguf", SHA256: hubtest.SHA256(content)})
	holds(t, r.Files[0].Path, content)
	if r.Fetched != int64(len(content)) || strings.Contains(l.notes(), "one stream") {
		t.Errorf("%d bytes were fetched; %s", r.Fetched, l.notes())
	}
	r, _ = pullOne(t, c, Request{Source: url + "/v-00001-of-00002.gguf"})
	if len(r.Files) != 2 {
		t.Errorf("the split model: %+v", r)
	}
	for name, code := range map[string]jeantrail.Code{"page.gguf": jeantrail.CodeInvalid, "none.gguf": jeantrail.CodeNotFound, "locked/m.gguf": jeantrail.CodeForbidden} {
		if _, err := c.Pull(t.Context(), Request{Source: url + "/" + name}, nil); jeantrail.CodeOf(err) != code {
			t.Errorf("%s: %v", name, err)
		}
	}
	resumeFromNginx(t, url, files)
}

// resumeFromNginx stops a pull, and goes on with it after the file was replaced,
// and after it was not.
func resumeFromNginx(t *testing.T, url, files string) {
	t.Helper()
	for _, replaced := range []bool{false, true} {
		h := hubtest.New(t) // as a bad network in front of the same bytes
		content := hubtest.Content(4<<20, 3)
		h.Put(repo, "r.gguf", content)
		c := newClient(t, h)
		interrupted(t, h, c, Request{Source: h.FileURL(repo, "r.gguf"), SHA256: hubtest.SHA256(content)}, 2<<20)
		path, want := filepath.Join(files, "r.gguf"), content
		if replaced {
			want = hubtest.Content(4<<20, 4)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		r, _ := pullOne(t, c, Request{Source: url + "/r.gguf", SHA256: hubtest.SHA256(want)})
		holds(t, r.Files[0].Path, want)
		if whole := r.Fetched == int64(len(want)); whole != replaced {
			t.Errorf("replaced %v: %d bytes were fetched", replaced, r.Fetched)
		}
	}
}
