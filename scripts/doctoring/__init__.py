"""What `doctor` looks at: one module per account, each giving findings. Nothing is changed: all requests are GETs."""
