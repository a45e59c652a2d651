import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["We observe NGC 4258.", "It is near."],
        ["See Smith et al. (2003), e.g. Fig. 2, i.e. the flux of 1.4 keV.", "We agree."],
        ["This follows Smith et al. 2003.", "We agree with Jones et al.", "The rest is new."],
        ["The source 2CXO J123456.7-123456 has z = 0.3.", "CXOU J1.2 is new."],
        ["A.B. Smith and C. Jones found it.", "They left Cen A.", "The jet stayed."],
        ["Is it one?", "It is!", "“Yes.”", "(No.)", "[O III] is bright."],
        ["Aims. We study stars.", "Methods. We look.", "Results. They shine."],
        ["It is bright, cf. Table 2, vs. Eq. 3, at 5 arcsec.", "3C 273 is brighter."],
        ["$N_H$ is high.", "$kT$ is 2.5 keV.", "~10 lines."],
        ["It fades (i) in X-rays.", "(ii) in radio."],
    ],
)  # fmt: skip
def test_sentences_end_where_a_reader_would_end_them(sentences):
    assert split_sentences(" ".join(sentences)) == sentences


@given(st.text())
def test_sentences_joined_are_the_text(text):
    sentences = split_sentences(text)
    assert " ".join(sentences) == " ".join(text.split())
    assert all(sentences)
