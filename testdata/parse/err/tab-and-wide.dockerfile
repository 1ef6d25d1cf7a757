FROM a
	ENV 日本=x	日本
