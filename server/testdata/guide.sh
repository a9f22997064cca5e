curl -X POST http://localhost:3001/generate \
  -H "Content-Type: application/json" \
  -d '{
    "prompt": "Hello Jean!",
    "model": "qwen-3-72b",
    "user_id": "user123",
    "stream": false,
    "max_tokens": 2048,
    "temperature": 0.7
  }'

curl http://localhost:3001/job/{job_id}

curl -X POST http://localhost:3001/generate \
  -H "Content-Type: application/json" \
  -H "Accept: text/event-stream" \
  -d '{
    "prompt": "Tell me a story",
    "stream": true
  }'

curl -X POST http://localhost:3001/generate \
  -d '{"prompt": "test", "user_id": "test"}'

curl http://localhost:3001/health

curl -X POST http://localhost:3001/generate-image \
  -H "Content-Type: application/json" \
  -d '{
    "prompt": "A futuristic AI assistant",
    "user_id": "user123",
    "width": 1024,
    "height": 1024
  }'

curl -X POST http://localhost:3001/pipeline/process \
  -H "Content-Type: application/json" \
  -d '{
    "input_data": {"prompt": "Create a futuristic AI image"},
    "user_id": "user123",
    "workflow": "text_to_image"
  }'
