FROM a
COPY --from=build --chown=a:b --chmod=0644 --link --parents --exclude=*.o --exclude=*.a x y
