"""What generated people write: short texts in six languages, with hashtags."""

from __future__ import annotations

from itertools import accumulate
from random import Random

LANGUAGES = ("en", "de", "es", "fr", "pt", "ja")
_LANGUAGE_WEIGHTS = tuple(accumulate((60, 12, 10, 8, 6, 4)))

HASHTAGS = (
    *("news", "music", "football", "python", "photography", "travel", "food", "science"),
    *("cycling", "books", "climate", "gaming", "art", "movies", "kafka", "running", "cats"),
    *("space", "coffee", "history", "gardening", "chess", "architecture", "physics", "birds"),
    *("cooking", "design", "trains", "jazz", "opensource", "hiking", "wissenschaft", "fútbol"),
    *("música", "randonnée", "写真", "猫", "knitting", "astronomy", "sailing", "theatre"),
)
_HASHTAG_WEIGHTS = tuple(accumulate(1 / (rank + 1) for rank in range(len(HASHTAGS))))

_OPENINGS = {
    "en": ("Just back from", "Still thinking about", "Who else enjoys", "My notes on", "Ready for"),
    "de": ("Gerade zurück von", "Ich denke noch an", "Wer mag auch", "Notizen zu", "Bereit für"),
    "es": ("De vuelta de", "Sigo pensando en", "A quién le gusta", "Apuntes sobre", "Lista para"),
    "fr": ("De retour de", "Je pense encore à", "Qui aime aussi", "Mes notes sur", "Prêt pour"),
    "pt": ("De volta de", "Ainda penso em", "Quem gosta de", "Notas sobre", "Pronto para"),
    "ja": ("ただいま", "まだ考えている", "好きな人は", "メモ", "準備完了"),
}
_ENDINGS = {
    "en": ("a long day.", "this morning!", "the whole week…", "an idea from friends.", "you?"),
    "de": ("einem langen Tag.", "heute früh!", "die ganze Woche…", "eine Idee.", "und ihr?"),
    "es": ("un día largo.", "esta mañana.", "toda la semana…", "una idea.", "¿y tú?"),
    "fr": ("une longue journée.", "ce matin !", "toute la semaine…", "une idée.", "et vous ?"),
    "pt": ("um dia longo.", "hoje cedo!", "a semana toda…", "uma ideia.", "e você?"),
    "ja": ("長い一日", "今朝", "一週間ずっと…", "友達のアイデア", "どう思う？"),
}
COMMENTS = (
    *("So true.", "Love this!", "Where is that?", "I am not so sure.", "Thank you for sharing"),
    *("Wie schön!", "¡Qué bueno!", "Magnifique", "いいね", "👏👏👏", "More of this, please."),
)
REACTIONS = ("love", "haha", "wow", "sad", "angry")
PLACES = ("Berlin", "Lisboa", "Lyon", "Nairobi", "Osaka", "Porto Alegre", "Sevilla", "Toronto")


def language(rng: Random) -> str:
    """A language, most often English."""
    return rng.choices(LANGUAGES, cum_weights=_LANGUAGE_WEIGHTS)[0]


def text(rng: Random, spoken: str, mention: str | None = None) -> str:
    """A post's text, with none to three hashtags, and a mention if one is given."""
    random = rng.random
    openings, endings = _OPENINGS[spoken], _ENDINGS[spoken]
    words = [openings[int(random() * len(openings))], endings[int(random() * len(endings))]]
    if mention is not None:
        words.append(f"@{mention}")
    tags = int(random() * random() * 4)  # none: about half
    if tags:
        words += (f"#{tag}" for tag in hashtags(rng, tags))
    return " ".join(words)


def hashtags(rng: Random, count: int) -> list[str]:
    """Hashtags, popular ones more often, none twice."""
    return list(dict.fromkeys(rng.choices(HASHTAGS, cum_weights=_HASHTAG_WEIGHTS, k=count)))
