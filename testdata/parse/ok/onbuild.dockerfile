FROM a
ONBUILD RUN x
onbuild copy --from=a b c
ONBUILD ENV A=b
ONBUILD   CMD ["a"]
ONBUILD WORKDIR /x   
