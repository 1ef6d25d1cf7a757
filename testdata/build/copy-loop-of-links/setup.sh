ln -s two one; ln -s one two; ln -s one l
