"""Short news stories: the same passage is classified, given a headline and asked about."""

from __future__ import annotations

import random
from dataclasses import dataclass

from curate.demo_data.vocabulary import CITIES, COMPANIES, PEOPLE, SURNAMES, WEEKDAYS
from curate.demo_data.wording import ordinal


@dataclass(frozen=True)
class Story:
    """A news story; as a template its texts hold slots, as a drawn story they are filled."""

    topic: str
    lead: str
    details: tuple[str, ...]
    headline: str
    questions: tuple[tuple[str, str], ...]


_STORIES = (
    Story(
        "sport",
        "{city} beat {rival} {goals} in the cup final on {weekend}, thanks to a goal by {name} in "
        "the {minute} minute.",
        (
            "About {thousands} supporters followed the match in pouring rain.",
            "The team had not won a title since {year}.",
            "Coach {other} said that the players had earned a long holiday.",
        ),
        "Late {surname} goal wins the cup for {city}",
        (
            ("Who scored in the {minute} minute?", "{name} scored in the {minute} minute."),
            ("Which team lost the final?", "{rival} lost the final."),
        ),
    ),
    Story(
        "sport",
        "{name} won the {city} marathon on {weekend}, crossing the line {small} seconds ahead of "
        "{other}.",
        (
            "More than {thousands} runners took part.",
            "Strong wind made the last kilometres along the river hard.",
            "The record for the course, set in {year}, was not broken.",
        ),
        "{surname} wins close {city} marathon",
        (
            ("Who won the race?", "{name} won the race."),
            ("Who came second?", "{other} came second."),
        ),
    ),
    Story(
        "business",
        "The furniture maker {company} will open a factory near {city} and hire {hundreds} people, "
        "its chief executive {name} said on {day}.",
        (
            "The firm plans to invest {small} million euros.",
            "Its sales have doubled since {recent}.",
            "The first tables should leave the building next spring.",
        ),
        "{company} to hire {hundreds} people at new {city} factory",
        (
            ("How many people will be hired?", "{hundreds} people will be hired."),
            ("Where will the factory be built?", "It will be built near {city}."),
        ),
    ),
    Story(
        "business",
        "Shares in the retailer {company} fell by {small} percent on {day} after it reported the "
        "weakest sales since {year}.",
        (
            "{name}, who runs the firm, blamed higher transport costs.",
            "Its shops in {city} and {rival} may close.",
            "Some {hundreds} jobs could be at risk.",
        ),
        "{company} shares drop {small} percent on weak sales",
        (
            ("By how much did the shares fall?", "They fell by {small} percent."),
            ("On which day did the shares fall?", "They fell on {day}."),
        ),
    ),
    Story(
        "science",
        "Researchers led by {name} have found {small} fossils of a flying reptile in a quarry "
        "near {city}.",
        (
            "The animals lived about {ages} million years ago.",
            "The first bone was noticed by a schoolgirl in {year}.",
            "The team presented the find on {day}.",
        ),
        "Fossils of flying reptile found near {city}",
        (
            ("Who leads the researchers?", "{name} leads the researchers."),
            ("How many fossils were found?", "{small} fossils were found."),
        ),
    ),
    Story(
        "science",
        "A telescope in the hills above {city} has spotted a comet that was last seen in {year}, "
        "the astronomer {name} announced on {day}.",
        (
            "It will be visible to the naked eye for {small} nights.",
            "Its tail is made of dust and frozen gas.",
            "Observers in {rival} have confirmed the sighting.",
        ),
        "Comet last seen in {year} returns",
        (
            ("When was the comet last seen?", "It was last seen in {year}."),
            ("Who announced the sighting?", "{name} announced the sighting."),
        ),
    ),
    Story(
        "weather",
        "Heavy rain closed {small} schools in {city} on {day} and left {hundreds} homes without "
        "electricity.",
        ("It was the wettest night since {year}.", "More rain is expected over the next few days."),
        "Floods close {small} schools in {city}",
        (
            ("How many schools were closed?", "{small} schools were closed."),
            ("How many homes had no electricity?", "{hundreds} homes had no electricity."),
        ),
    ),
    Story(
        "weather",
        "{city} recorded {heat} degrees on {day}, the hottest day since {year}, and no rain is "
        "in sight.",
        (
            "Forecaster {name} expects a storm from the west at the weekend.",
            "Farmers in the region worry about the dry soil.",
            "Fountains were full of bathers until late at night.",
        ),
        "{city} swelters at {heat} degrees",
        (
            ("What temperature was recorded?", "A temperature of {heat} degrees was recorded."),
            ("On which day was it so hot?", "It was so hot on {day}."),
        ),
    ),
    Story(
        "culture",
        "The city museum in {city} opened an exhibition of {hundreds} paintings by {name} on "
        "{day}.",
        (
            "Many of them have not been shown since {year}.",
            "The curator, {other}, spent years collecting them.",
            "It will travel to {rival} in the autumn.",
        ),
        "{city} museum shows {hundreds} works by {surname}",
        (
            ("Whose paintings are on show?", "The paintings are by {name}."),
            ("How many paintings can be seen?", "{hundreds} paintings can be seen."),
        ),
    ),
    Story(
        "culture",
        "The debut novel of {name}, set in {city} in {year}, won the national book prize on {day}.",
        (
            "The judges praised its dry humour.",
            "The author wrote it while living in {rival}.",
            "It has sold {thousands} copies so far.",
        ),
        "Book prize goes to {surname} for debut novel",
        (
            ("Who wrote the winning novel?", "{name} wrote the winning novel."),
            ("Where is the novel set?", "The novel is set in {city}."),
        ),
    ),
    Story(
        "politics",
        "The council of {city} voted by {votes} on {day} to close the old town to cars.",
        (
            "Mayor {name} called it a brave decision.",
            "Opponents want a referendum like the one in {rival}.",
            "A similar plan failed in {year}.",
        ),
        "{city} council bans cars from old town",
        (
            ("What was the result of the vote?", "The result was {votes}."),
            ("When did the council vote?", "The council voted on {day}."),
        ),
    ),
    Story(
        "politics",
        "{name} was elected mayor of {city} on {day} with {share} percent of the vote, ahead of "
        "{other}.",
        (
            "Turnout was the highest since {year}.",
            "Cheaper buses were the main promise of the campaign.",
            "The new mayor used to teach at a school in {rival}.",
        ),
        "{surname} elected mayor of {city}",
        (
            ("Who won the election?", "{name} won the election."),
            ("What share of the vote did the winner get?", "The winner got {share} percent."),
        ),
    ),
    Story(
        "health",
        "Doctors in {city} will vaccinate {thousands} children against measles, Dr {name} said on "
        "{day}.",
        (
            "It is the largest campaign since {year}.",
            "Mobile clinics will also visit the villages nearby.",
            "The jab is free of charge.",
        ),
        "{city} to vaccinate {thousands} children",
        (
            ("How many children will be vaccinated?", "{thousands} children will be vaccinated."),
            ("Against what will they be vaccinated?", "They will be vaccinated against measles."),
        ),
    ),
    Story(
        "health",
        "People who walk for {half_hour} minutes a day sleep better, according to a study of "
        "{hundreds} adults in {city} led by Dr {name}.",
        (
            "The volunteers wore a watch that measured their sleep.",
            "The study began in {recent}.",
            "The results were published on {day}.",
        ),
        "Daily walk improves sleep, {city} study finds",
        (
            ("Who led the study?", "Dr {name} led the study."),
            ("How many adults took part?", "{hundreds} adults took part."),
        ),
    ),
    Story(
        "technology",
        "{company}, a start-up from {city}, released an app on {day} that recognises {hundreds} "
        "bird songs.",
        (
            "Its founder, {name}, wrote the first version in {recent}.",
            "It has been downloaded {thousands} times.",
        ),
        "New {company} app recognises {hundreds} bird songs",
        (
            ("How many bird songs does the app know?", "It knows {hundreds} bird songs."),
            ("Where does the start-up come from?", "It comes from {city}."),
        ),
    ),
    Story(
        "technology",
        "A faulty software update stopped the ticket machines at {small} stations in {city} on "
        "{day}, the engineer {name} explained.",
        (
            "The old version dates from {recent} and has been put back.",
            "Travellers could ride free of charge until noon.",
            "The supplier, {company}, has apologised.",
        ),
        "Software update stops ticket machines in {city}",
        (
            ("What stopped the ticket machines?", "A faulty software update stopped them."),
            ("How many stations were affected?", "{small} stations were affected."),
        ),
    ),
)


def draw_story(rng: random.Random) -> Story:
    """Fill one story's slots with people, cities and numbers, keeping one or two of its details."""
    template = rng.choice(_STORIES)
    surname, other_surname = rng.sample(SURNAMES, 2)
    first, second = rng.sample(PEOPLE, 2)
    city, rival = rng.sample(CITIES, 2)
    votes_against = rng.randint(5, 20)
    slots: dict[str, object] = {
        "name": f"{first.name} {surname}",
        "other": f"{second.name} {other_surname}",
        "surname": surname,
        "city": city,
        "rival": rival,
        "company": rng.choice(COMPANIES),
        "day": rng.choice(WEEKDAYS[:5]),
        "weekend": rng.choice(WEEKDAYS[5:]),
        "year": rng.randint(1960, 2008),
        "recent": rng.randint(2012, 2021),
        "ages": rng.randrange(70, 220, 10),
        "goals": rng.choice(("1-0", "2-1", "3-2", "4-3")),
        "minute": ordinal(rng.randint(80, 90)),
        "votes": f"{votes_against + rng.randint(1, 15)} to {votes_against}",
        "share": rng.randint(51, 70),
        "small": rng.randint(5, 30),
        "hundreds": rng.randrange(110, 400, 10),
        "thousands": f"{rng.randint(3, 45)},000",
        "heat": rng.randint(36, 43),
        "half_hour": rng.choice((20, 25, 30, 40, 45)),
    }
    details = rng.sample(template.details, rng.choice((1, 2)))
    return Story(
        template.topic,
        template.lead.format(**slots),
        tuple(detail.format(**slots) for detail in details),
        template.headline.format(**slots),
        tuple((ask.format(**slots), reply.format(**slots)) for ask, reply in template.questions),
    )
