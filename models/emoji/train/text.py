"""Words to token ids."""

import re

BEGIN, END, UNKNOWN = 0, 1, 2
TOKENS = 16


def words(text):
    """The words of a text: lower case, letters of ASCII and digits, no apostrophes."""
    return re.findall(r"[a-z0-9]+", re.sub("['’]", "", text.lower()))


def vocabulary(texts):
    """word -> id for every word of the texts."""
    ids = {"<|startoftext|>": BEGIN, "<|endoftext|>": END, "<unk>": UNKNOWN}
    for word in sorted({w for text in texts for w in words(text)}):
        ids[word] = len(ids)
    return ids


def encode(vocab, text):
    """TOKENS ids: begin, the words, then end as often as it takes. text may also be a list of words."""
    split = words(text) if isinstance(text, str) else text
    ids = [BEGIN] + [vocab.get(w, UNKNOWN) for w in split][: TOKENS - 2]
    return ids + [END] * (TOKENS - len(ids))
