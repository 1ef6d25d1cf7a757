FROM docker.io/library/debian:12@sha256:0123456789abcdef
