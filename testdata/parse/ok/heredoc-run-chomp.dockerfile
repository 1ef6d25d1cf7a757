FROM a
RUN <<-EOF
		a
	 b
  c
	EOF
