mkdir d; echo 1 >d/f; ln -s /d l
