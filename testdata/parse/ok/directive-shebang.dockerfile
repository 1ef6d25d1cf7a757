#!/usr/bin/env docker
# syntax=docker/dockerfile:1
# escape=`
FROM a
RUN a \
 b
