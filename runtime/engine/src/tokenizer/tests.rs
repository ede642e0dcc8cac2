//! SentencePiece against llama.cpp's vectors, against a reference that is slow and obvious, and against bad files.
