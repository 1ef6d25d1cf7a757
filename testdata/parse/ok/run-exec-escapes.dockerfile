FROM a
RUN ["\"\\\/\b\f\n\r\t", "\u00e9\u65E5", "\ud83d\ude00", "\ud83d", "\ude00x", "\ud83d\u0041", "é"]
