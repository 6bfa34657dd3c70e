"""Reading tasks on reviews, dialogues, news and e-mails.

Three families share the reviews, two the dialogues and three the news, so that the text in a
prompt does not give the task away: only the instruction around it does.
"""

from __future__ import annotations

import random

from curate.demo_data.dialogues import draw_dialogue
from curate.demo_data.news import Story, draw_story
from curate.demo_data.scenes import Review, draw_review
from curate.demo_data.vocabulary import ASPECTS
from curate.demo_data.wording import TaskFamily, instruct, join_words, phrase, sentence_case


def review_sentiment(rng: random.Random) -> tuple[str, str]:
    """Say whether a review is positive, negative or mixed."""
    review = draw_review(rng)
    prompt = instruct(
        rng,
        (
            "say whether this review is positive, negative or mixed",
            "label the mood of this customer as positive, negative or mixed",
            "decide how the writer of this comment feels and answer positive, negative or mixed",
            "write down the sentiment of this review: positive, negative or mixed",
        ),
        review.text,
    )
    return prompt, review.sentiment


def review_title(rng: random.Random) -> tuple[str, str]:
    """Give a review a short title that names what was liked and what was not."""
    review = draw_review(rng)
    prompt = instruct(
        rng,
        (
            "write a short title for this review",
            "sum up the mood of this customer in a title",
            "say in a short title what the writer of this comment is pleased or unhappy with",
            "write down a title of at most ten words for this review",
        ),
        review.text,
    )
    return prompt, _title(rng, review)


def _title(rng: random.Random, review: Review) -> str:
    liked = [ASPECTS[name].praise for name, pleased in review.verdicts.items() if pleased]
    disliked = [ASPECTS[name].complaint for name, pleased in review.verdicts.items() if not pleased]
    if liked and disliked:
        pattern = rng.choice(("{liked}, but {disliked}", "{liked}, shame about the {disliked}"))
        return sentence_case(pattern.format(liked=liked[0], disliked=disliked[0]))
    first, second = (liked or disliked)[:2]
    return sentence_case(
        phrase(
            rng,
            ("{first} and {second}", "{a_product} with {first} and {second}"),
            first=first,
            second=second,
            a_product=f"{'great' if liked else 'disappointing'} {review.product}",
        )
    )


def review_aspects(rng: random.Random) -> tuple[str, str]:
    """List the aspects that a review mentions, each with its verdict."""
    review = draw_review(rng)
    prompt = instruct(
        rng,
        (
            "write down each aspect of this review as praised or criticised, one per line",
            "list what this customer is pleased with (praised) and unhappy with (criticised)",
            "label each aspect in this comment as praised or criticised, as in 'size: praised'",
        ),
        review.text,
    )
    lines = (
        f"{name}: {'praised' if pleased else 'criticised'}"
        for name, pleased in review.verdicts.items()
    )
    return prompt, "\n".join(lines)


def dialogue_summary(rng: random.Random) -> tuple[str, str]:
    """Summarise a chat between two people in one sentence."""
    dialogue = draw_dialogue(rng)
    prompt = instruct(
        rng,
        (
            "summarise this conversation in one sentence",
            "write down in one sentence what the two people in this chat agree on",
            "tell somebody who missed this chat its outcome in a single sentence",
            "read this conversation and say in one sentence what was decided",
        ),
        dialogue.text,
    )
    return prompt, dialogue.summary


def dialogue_question(rng: random.Random) -> tuple[str, str]:
    """Answer a question about a chat between two people."""
    dialogue = draw_dialogue(rng)
    question, answer = rng.choice(dialogue.questions)
    prompt = instruct(
        rng,
        (
            "answer the question about this conversation in one sentence",
            "read this chat and write down the answer to the question",
            "tell somebody who missed this chat the answer to the question in a single sentence",
        ),
        f"{dialogue.text}\n\nQuestion: {question}",
    )
    return prompt, answer


_TOPICS = ("business", "culture", "health", "politics", "science", "sport", "technology", "weather")


def _passage(story: Story) -> str:
    return " ".join((story.lead, *story.details))


def news_topic(rng: random.Random) -> tuple[str, str]:
    """Name the section of the newspaper that a story belongs to."""
    story = draw_story(rng)
    prompt = instruct(
        rng,
        (
            "name the topic of this report ({topics})",
            "say which section of a newspaper this story belongs to: {topics}",
            "write down one of the labels {topics} for this news item",
        ),
        _passage(story),
        topics=join_words(rng.sample(_TOPICS, len(_TOPICS)), link="or"),
    )
    return prompt, story.topic


def news_headline(rng: random.Random) -> tuple[str, str]:
    """Write the headline of a news story."""
    story = draw_story(rng)
    prompt = instruct(
        rng,
        (
            "write a headline for this report",
            "say in a short headline what this newspaper story is about",
            "write down a title of at most ten words for this news item",
        ),
        _passage(story),
    )
    return prompt, story.headline


def news_question(rng: random.Random) -> tuple[str, str]:
    """Answer a comprehension question about a news story."""
    story = draw_story(rng)
    question, answer = rng.choice(story.questions)
    prompt = instruct(
        rng,
        (
            "answer the question about this report in one sentence",
            "read this news item and write down the answer to the question",
            "say in a full sentence what this newspaper story tells us about the question",
        ),
        f"{_passage(story)}\n\nQuestion: {question}",
    )
    return prompt, answer


TEXT_TASKS: dict[str, TaskFamily] = {
    "review_sentiment": review_sentiment,
    "review_title": review_title,
    "review_aspects": review_aspects,
    "dialogue_summary": dialogue_summary,
    "dialogue_question": dialogue_question,
    "news_topic": news_topic,
    "news_headline": news_headline,
    "news_question": news_question,
}
