"""How people write down who says what. A form reads the text of one file as lines or utterances, each with its speaker
as far as the file names one; transcript.py makes turns of them, the same for all forms.

    heads.py      who opens a turn at the start of a line, or with a line of its own
    subtitles.py  SRT, WebVTT and ASS
    recogniser.py the JSON of speech recognisers
    own.py        a regular expression of the user's
    choice.py     which form a file is in, and how sure that is
"""
