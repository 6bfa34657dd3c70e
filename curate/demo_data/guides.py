"""Everyday undertakings in four steps, each step in two wordings."""

from __future__ import annotations

GUIDES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "plan a weekend in {city} with {n} friends",
        (
            ("Agree on a date and a budget.", "Ask your {n} friends when they have time."),
            ("Book beds and tickets to {city}.", "Look for rooms in the centre of {city}."),
            ("Let everyone pick one thing to see.", "Collect wishes for things to do in {city}."),
            ("Share the plan with the group.", "Send all bookings to your {n} friends."),
        ),
    ),
    (
        "return {a_product} that arrived broken in {city}",
        (
            ("Take photos of the {product}.", "Write down what is wrong with the {product}."),
            ("Ask the shop for a return label.", "Tell the seller that you want a refund."),
            ("Pack the {product} with all its parts.", "Put everything back into the box."),
            ("Hand it in at a post office in {city}.", "Post the parcel and keep the receipt."),
        ),
    ),
    (
        "sell a used {product} to somebody in {city}",
        (
            ("Clean the {product} and test it.", "Check that the {product} still works."),
            ("Take clear photos in daylight.", "Write an honest description with photos."),
            ("Compare prices of similar offers in {city}.", "Set a fair price."),
            ("Meet the buyer in a public place.", "Hand over the {product} against cash."),
        ),
    ),
    (
        "give a short talk about {thing} to {n} colleagues",
        (
            ("Read {thing} and mark three main points.", "Decide what is new in {thing}."),
            ("Write one slide for each point.", "Draw one simple chart for each point."),
            ("Practise aloud until you need no notes.", "Rehearse once with a clock."),
            ("Leave time for questions.", "Ask your {n} colleagues for their opinion."),
        ),
    ),
    (
        "organise a surprise party for {name} on {day}",
        (
            ("Invite the friends of {name} in secret.", "Choose a place {name} does not suspect."),
            ("Find somebody to keep {name} busy on {day}.", "Invent an errand for {name}."),
            ("Prepare the food and the music.", "Hang up lights and bake a cake."),
            ("Hide and call out when {name} comes in.", "Switch the lights on when {name} enters."),
        ),
    ),
    (
        "find a flat in {city} for {n} people",
        (
            ("Work out what rent the {n} of you can pay.", "List the districts you like best."),
            ("Answer new adverts from {city} at once.", "Tell everyone you know in {city}."),
            ("Check water, heating and windows.", "Visit each flat by day and by night."),
            ("Read the contract before you sign.", "Ask what the rent includes, then sign."),
        ),
    ),
    (
        "teach {name} to ride a bicycle by {day}",
        (
            ("Choose a quiet place without cars.", "Find a flat and empty car park."),
            ("Lower the saddle for {name}.", "Make sure that {name} can touch the ground."),
            ("Begin with rolling and steering.", "Let {name} scoot along without pedals."),
            ("Run alongside, then let go.", "Practise a little every day until {day}."),
        ),
    ),
    (
        "get {thing} finished by {day}",
        (
            ("Make a list of what {thing} still lacks.", "Ask who is waiting for {thing}."),
            ("Spread the work over the days until {day}.", "Do the hardest part first."),
            ("Switch off your phone while you work.", "Block two quiet hours each morning."),
            ("Ask a colleague to read it on {day}.", "Check it once more, then hand it in."),
        ),
    ),
    (
        "welcome {name} as a new neighbour in {city}",
        (
            ("Ring the bell and introduce yourself.", "Leave a card with your number."),
            ("Bring bread and salt.", "Bring a cake and something to drink."),
            ("Explain where to shop in {city}.", "Show {name} the bins and the cellar."),
            ("Invite {name} for dinner.", "Offer {name} help with heavy boxes."),
        ),
    ),
    (
        "choose {a_product} as a present for {name}",
        (
            ("Find out what {name} needs it for.", "Ask a friend of {name} for advice."),
            ("Set a limit for the price.", "Decide how much you want to spend."),
            ("Read a few reviews of each {product}.", "Compare at least three models."),
            ("Order it well in advance.", "Keep the receipt in case {name} wants another."),
        ),
    ),
)
"""The goals, each with the two wordings of its steps; slots are filled by the how-to family."""
