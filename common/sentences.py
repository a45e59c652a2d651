"""Where a sentence ends in the prose of abstracts: abbreviations, initials and names of sources."""

import re

LONGEST_ABBREVIATION = 20

# What a full stop may follow without ending a sentence.
_NEVER_LAST = re.compile(
    r"(?:^|[\s(\[])(?:e\.g|i\.e|cf|vs|viz|ca|approx|resp|figs?|tabs?|eqs?|eqns?|sects?|secs?|chap"
    r"|refs?|nos?|vol|pp?|obs|dr|prof|st|mt|hereafter|incl|phys|rev|lett|sci|soc"
    r"|context|aims|methods?|results|conclusions?)\.\]?$",
    re.IGNORECASE,
)
_SELDOM_LAST = re.compile(r"(?:^|[\s(\[])(?:al|(?:\w\.)*[A-Za-z])\.$")  # et al., A. Einstein, U.S.
_OPENER = re.compile(
    r"(?:We|The|This|These|That|Those|It|Its|In|Our|Here|There|However|Using|From|For|At|On|A|An"
    r"|Both|Although|While|With|As|By|To|If|Such|Their|They|Thus|Therefore|Furthermore|Finally)\b"
)
_BREAK = re.compile(r"[.!?][\"'”’)\]]*\s+(?=[\"'“‘(\[~]*[A-Z0-9Α-Ω$]|\([ivx]+\))")  # noqa: RUF001


def split_sentences(text: str) -> list[str]:
    """Split prose into sentences; joined by blanks they are the text again."""
    text = " ".join(text.split())
    sentences = []
    start = 0
    for match in _BREAK.finditer(text):
        end = match.end()
        last_word = text[max(start, end - LONGEST_ABBREVIATION) : end].rstrip()
        if _ends_sentence(last_word, text[end : end + LONGEST_ABBREVIATION]):
            sentences.append(text[start:end].rstrip())
            start = end
    sentences.append(text[start:])
    return [sentence for sentence in sentences if sentence]


def _ends_sentence(before: str, after: str) -> bool:
    if _NEVER_LAST.search(before):
        return False
    return not _SELDOM_LAST.search(before) or _OPENER.match(after) is not None
