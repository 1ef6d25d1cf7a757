   FROM a
	 RUN x
