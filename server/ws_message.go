package server

import (
	"context"
	"errors"
	"io"

	"github.com/jeantrail/jeantrail-ai"
)

// handle answers one message. Its only error is the socket's end: a message
// that cannot be honoured is rejected, and the socket goes on.
func (c *socket) handle(data []byte) error {
	c.prune()
	var m socketRequest
	err := decodeStrict(data, &m)
	if err == nil {
		err = c.dispatch(&m)
	}
	if err == nil || c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	if jeantrail.CodeOf(err) == jeantrail.CodeInternal {
		c.server.log.Error("socket message failed", "type", knownMessage(m.Type), "error", err)
	}
	return c.send(&socketReply{Type: "rejected", ID: m.ID, JobID: m.JobID, Error: newProblem(err, m.JobID)})
}

func knownMessage(kind string) string {
	switch kind {
	case "generate", "generate_image", "transcribe", "speak", "pipeline", "subscribe", "unsubscribe", "cancel", "ping":
		return kind
	default:
		return "other"
	}
}

func (c *socket) dispatch(m *socketRequest) error {
	if len(m.ID) > maxCorrelationByte {
		m.ID = ""
		return jeantrail.Errorf(jeantrail.CodeInvalid, "id is longer than %d bytes", maxCorrelationByte)
	}
	switch m.Type {
	case "generate":
		return c.start(m, &generateRequest{})
	case "generate_image":
		return c.start(m, &imageRequest{})
	case "transcribe":
		return c.start(m, &transcribeRequest{})
	case "speak":
		return c.start(m, &speakRequest{})
	case "pipeline":
		return c.start(m, &pipelineRequest{})
	case "subscribe":
		return c.subscribe(m)
	case "unsubscribe":
		return c.unsubscribe(m)
	case "cancel":
		if err := needJob(m); err != nil {
			return err
		}
		return c.server.opt.Road.Cancel(c.ctx, c.principal, m.JobID)
	case "ping":
		return c.send(&socketReply{Type: "pong", ID: m.ID})
	default:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "type %q is not known", m.Type).
			WithHint("Use generate, generate_image, transcribe, speak, pipeline, subscribe, unsubscribe, cancel or ping.")
	}
}

func needJob(m *socketRequest) error {
	if m.JobID == "" {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "a message of type %s needs job_id", m.Type)
	}
	return nil
}

// start starts a job and subscribes to it; body is the kind of request that the
// message has. The lease is held until the socket ends, so that to unsubscribe is
// only to stop hearing.
func (c *socket) start(m *socketRequest, body order) error {
	if m.ID == "" {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "a message of type %s needs an id", m.Type).
			WithHint("Choose any; accepted and rejected repeat it.")
	}
	if len(m.Request) == 0 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "a message of type %s needs a request", m.Type).
			WithHint(`For example {"type": "generate", "id": "1", "request": {"prompt": "Hello"}}.`)
	}
	if len(c.subs) >= maxSubscriptions {
		return tooManySubscriptions()
	}
	if err := decodeStrict(m.Request, body); err != nil {
		return err
	}
	req, err := body.request(c.server.uploadFor(c.ctx, c.principal))
	if err != nil {
		return err
	}
	job, err := c.server.submit(c.ctx, c.principal, req)
	if err != nil {
		return err
	}
	c.releases[job.ID] = c.server.opt.Road.Lease(job.ID)
	if err := c.send(&socketReply{Type: "accepted", ID: m.ID, JobID: job.ID}); err != nil {
		return err
	}
	stream, _ := body.wishes()
	return c.follow(job, 0, stream == nil || *stream)
}

// subscribe makes the client hear of a job from an event on, and keeps the job
// alive as if it had been started here: that is how a page that was loaded again
// goes on.
func (c *socket) subscribe(m *socketRequest) error {
	if err := needJob(m); err != nil {
		return err
	}
	if m.After < 0 {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "after is %d, it must be the seq of an event, or 0", m.After)
	}
	if _, twice := c.subs[m.JobID]; twice {
		return jeantrail.Errorf(jeantrail.CodeConflict, "the socket is subscribed to this job already").
			WithHint("Unsubscribe first to begin at another event.")
	}
	if len(c.subs) >= maxSubscriptions {
		return tooManySubscriptions()
	}
	job, err := c.server.opt.Road.Job(c.ctx, c.principal, m.JobID)
	if err != nil {
		return err
	}
	if _, held := c.releases[job.ID]; !held && !job.State.Terminal() {
		c.releases[job.ID] = c.server.opt.Road.Lease(job.ID)
	}
	return c.follow(job, m.After, true)
}

func tooManySubscriptions() error {
	return jeantrail.Errorf(jeantrail.CodeRateLimited, "the socket has %d subscriptions, which is the most", maxSubscriptions).
		WithHint("Wait for a job to end, unsubscribe from one, or open another socket.").
		WithNumber("limit", maxSubscriptions)
}

// unsubscribe returns when no further event of the job will come. It is
// idempotent.
func (c *socket) unsubscribe(m *socketRequest) error {
	if err := needJob(m); err != nil {
		return err
	}
	if sub, ok := c.subs[m.JobID]; ok {
		sub.cancel()
		<-sub.done
		delete(c.subs, m.JobID)
	}
	return nil
}

// follow starts the goroutine that passes a job's events on.
func (c *socket) follow(job *jeantrail.Job, after int64, tokens bool) error {
	reader, err := c.server.opt.Road.Follow(c.ctx, c.principal, job.ID, after)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	sub := &subscription{cancel: cancel, done: make(chan struct{})}
	c.subs[job.ID] = sub
	c.followers.Go(func() {
		defer close(sub.done)
		defer cancel()
		c.copy(ctx, reader, sub, job, tokens)
	})
	return nil
}

// copy passes events on until the terminal one. When the log cannot be read any
// more the client is told, because it would wait for ever.
func (c *socket) copy(ctx context.Context, reader EventReader, sub *subscription, job *jeantrail.Job, tokens bool) {
	for {
		event, err := reader.Next(ctx)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return
		case err != nil:
			c.server.log.Error("socket stream failed", "job", job.ID, "error", err)
			_ = c.send(&socketReply{Type: "rejected", JobID: job.ID, Error: newProblem(err, job.ID)})
			return
		case event.Type == jeantrail.EventToken && !tokens:
			continue
		}
		if event.Type.Terminal() {
			sub.over.Store(true)
		}
		if c.send(eventOf(&event, aboutOf(job))) != nil {
			return
		}
	}
}

// prune forgets the subscriptions that have ended, and the leases of jobs that
// are over, so that a socket may live for as many jobs as it likes. A client
// that has read a terminal event must find its subscription gone, so that one
// that is about to end is waited for.
func (c *socket) prune() {
	for id, sub := range c.subs {
		over := sub.over.Load()
		if !over && !sub.ended() {
			continue
		}
		<-sub.done
		delete(c.subs, id)
		if release := c.releases[id]; over && release != nil {
			release(0)
			delete(c.releases, id)
		}
	}
}

func (s *subscription) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}
