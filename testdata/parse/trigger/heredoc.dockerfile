COPY <<a /x
body
a