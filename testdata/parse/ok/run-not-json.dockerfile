FROM a
RUN ['a', 'b']
RUN ["a", "b"
RUN ["a"] && x
RUN [ -f x ] && y
RUN [[ a ]]
RUN ["a",]
RUN ["\x"]
