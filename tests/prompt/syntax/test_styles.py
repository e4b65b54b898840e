"""Prompts in the manners that people write them in: one kind a case, none of them in an annotated set."""

from __future__ import annotations

import pytest

from grefine_core.prompt.syntax import parse_prompt


def content(prompt: str) -> list[str]:
    """The content phrases, their heads in capitals."""
    tree = parse_prompt(prompt)
    return [
        " ".join(
            word.text.upper() if word is phrase.head or word == phrase.head else word.text for word in phrase.words
        )
        for phrase in tree
        if not phrase.is_style and not phrase.is_foreign
    ]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        # Tags
        (
            "2girls, ponytail, maid_outfit, holding_tray, cafe, :d",
            ["2GIRLS holding", "PONYTAIL", "maid OUTFIT", "TRAY", "CAFE"],
        ),
        ("score_9, rating_safe, 1dog, grass, sitting on a rock", ["1DOG sitting", "GRASS", "ROCK"]),
        ("rem_(re:zero), saber_\\(fate\\), blue_hair", ["REM", "SABER", "blue HAIR"]),
        ("6+girls, 3 cats", ["6 GIRLS", "3 CATS"]),
        ("RAW photo, 1woman, 30 years old, green scarf", ["1WOMAN", "green SCARF"]),
        ("1girl, watering_can, pointing_at_viewer, open_mouth", ["1GIRL", "watering CAN", "open MOUTH"]),
        ("1boy, faceless, crystal, artist:someone, by_nobody", ["1BOY", "CRYSTAL"]),
        ("species:otter, size_difference, dynamic_pose, angelfish", ["OTTER", "ANGELFISH"]),
        ("1girl, old_vorpster, halo", ["1GIRL", "old VORPSTER", "HALO"]),
        ("1girl, ram_(re:zero), eevee, grin, wind", ["1GIRL", "RAM", "EEVEE"]),
        ("1boy, bob_cut, leg_up, rivalry, digital_painting_(artwork)", ["1BOY", "bob CUT", "LEG up"]),
        ("1girl, [artist:someone], loneliness, ranni_the_witch", ["1GIRL", "ranni WITCH"]),
        ("1boy, painting_(object), very_vorp", ["1BOY", "PAINTING"]),
        # Weight groups
        ("a (red (velvet:1.2) curtain:1.1), (oak) table", ["red velvet CURTAIN", "oak TABLE"]),
        ("(white swan)++ on a lake, steam++ train", ["white SWAN", "LAKE", "steam TRAIN"]),
        ("(black cat:1.2) (green eyes:1.3) on a (velvet cushion)", ["black CAT", "green EYES", "velvet CUSHION"]),
        ("(knight:1.2) (dragon:1.3) (castle)", ["KNIGHT", "DRAGON", "CASTLE"]),
        ("a (blue:1.3) parrot on a (wooden:0.8) perch", ["blue PARROT", "wooden PERCH"]),
        ("embedding:style.pt girl with a kite", ["GIRL", "KITE"]),
        ("(marble vorpster:1.2) (rowboat:1.1)", ["marble VORPSTER", "ROWBOAT"]),
        ("(ham slices) (red onions:0.9) (bats)", ["ham SLICES", "red ONIONS", "BATS"]),
        ("(polar lights:1.2) (night light) (soft light)", ["polar LIGHTS", "night LIGHT"]),
        ("(female pilot:1.2) floating, (globe:0.9)", ["female PILOT floating", "GLOBE"]),
        ("1.3::black cat::, lantern, -1::fog::", ["black CAT", "LANTERN"]),
        # Things in a row
        (
            "tall man black coat white shirt walking in the rain",
            ["tall MAN walking", "black COAT", "white SHIRT", "RAIN"],
        ),
        ("a dog a cat and two birds", ["DOG", "CAT", "two BIRDS"]),
        ("samurai red armor katana cherry blossoms", ["SAMURAI", "red ARMOR", "KATANA", "cherry BLOSSOMS"]),
        ("nomad camel fur hat torn banner", ["NOMAD", "camel fur HAT", "torn BANNER"]),
        ("diver rubber suit plasma lamp sunken gate", ["DIVER", "rubber SUIT", "plasma LAMP", "sunken GATE"]),
        ("white ceramic bowl green pears", ["white ceramic BOWL", "green PEARS"]),
        ("painter brass table lamp old easel", ["PAINTER", "brass table LAMP", "old EASEL"]),
        ("boy wolf mask muddy road", ["BOY", "wolf MASK", "muddy ROAD"]),
        ("lighthouse keeper red scarf corn field barn", ["lighthouse KEEPER", "red SCARF", "corn FIELD", "BARN"]),
        ("surgeon green gloves operating table", ["SURGEON", "green GLOVES", "operating TABLE"]),
        ("summer evening long shadows red swing", ["summer EVENING", "long SHADOWS", "red SWING"]),
        ("hyperrealistic macro beetle wet moss tall grass", ["BEETLE", "wet MOSS", "tall GRASS"]),
        ("white jug linen cloth soft shadow minimal", ["white JUG", "linen CLOTH", "soft SHADOW"]),
        (
            "haunted mill dead trees bats full moon tim burton style",
            ["haunted MILL", "dead TREES", "BATS", "full MOON"],
        ),
        ("sheriff holding lasso dusty street post film noir", ["SHERIFF holding", "LASSO", "dusty STREET", "POST"]),
        # Sentences
        ("A dog barks. Laundry flaps on a line.", ["DOG barks", "LAUNDRY flaps", "LINE"]),
        ("A cook kneels by a fire and stirs thick soup.", ["COOK kneels stirs", "FIRE", "thick SOUP"]),
        ("His aunt, a plump baker, laughs and lifts a tray.", ["AUNT laughs lifts", "plump BAKER", "TRAY"]),
        ("Clocks line the wall, each showing a different face.", ["CLOCKS line showing", "WALL", "different FACE"]),
        ("Someone has left a bicycle by the gate.", ["has left BICYCLE", "GATE"]),
        ("An overhead view shows a loaf on a board.", ["LOAF", "BOARD"]),
        ("A mule drinks. The faded colors recall old postcards.", ["MULE drinks"]),
        # Lettering
        ('bold lettering "FRESH FIGS" on a crate', ["bold LETTERING FRESH FIGS", "CRATE"]),
        ('wooden sign "Salt & Bread", ivy', ["wooden SIGN Salt Bread", "IVY"]),
        ('painted sign, "Warm Eggs", a fence', ["painted SIGN Warm Eggs", "FENCE"]),
        ('a plane spelling out "MARRY ME" over a beach', ["PLANE spelling MARRY ME", "BEACH"]),
        ('vintage travel poster, a rowboat, title "ALPS"', ["ROWBOAT", "TITLE ALPS"]),
        ("a snow covered mountain, a red sports car", ["snow covered MOUNTAIN", "red sports CAR"]),
        # Midjourney
        ("hot air balloon:: old map::2 clouds::-0.5 --chaos 40", ["hot air BALLOON", "old MAP"]),
        ("white teapot —ar 4:3 —v 6", ["white TEAPOT"]),
        ("a house --sref 12 987 --p ab1 --tile", ["HOUSE"]),
        ("a bench -- made of stone", ["BENCH made", "STONE"]),
        ("lone deer, Leica Q2, 28mm f/1.7, Cinestill 50D", ["lone DEER"]),
        ("a kitchen, Tamron Vorp 90mm, a kettle on a shelf", ["KITCHEN", "KETTLE", "SHELF"]),
        ("seamless pattern, figs, teal and gold", ["FIGS"]),
        # Headings and JSON
        ("Hero: a knight | Foe: a troll | Realm: a bog", ["KNIGHT", "TROLL", "BOG"]),
        ("subject=a fox, setting=a den, style=ink wash", ["FOX", "DEN"]),
        ("Scene: a den. Companion: an owl. Lighting setup: two lamps.", ["DEN", "OWL"]),
        ('{"subject": "a fox", "position": "top left", "cameraAngle": "low"}', ["FOX"]),
        ("<subject>a fox</subject> <style>ink</style>", ["FOX"]),
        ('a cake, text: "Happy Day" in icing, a fork', ["CAKE Happy Day", "ICING", "FORK"]),
        ("Scene: a wet alley. Subject: a woman. Camera: 35mm", ["wet ALLEY", "WOMAN"]),
        ('{"scene": "a market", "subjects": [{"name": "old woman"}], "seed": 7}', ["MARKET", "old WOMAN"]),
        ("* a red bicycle\n* a brick wall", ["red BICYCLE", "brick WALL"]),
        ("left: a knight, right: a witch", ["KNIGHT", "WITCH"]),
        ("(far left:1.1) a drummer BREAK (right) a singer", ["DRUMMER", "SINGER"]),
        ("[left panel] a seed [right panel] a tree", ["SEED", "TREE"]),
        ("upper half: a kite, lower half: a dune", ["KITE", "DUNE"]),
        ("top left a seed, bottom right a tree", ["SEED", "TREE"]),
        ("In the top left corner a moon, on the right side a barn", ["MOON", "BARN"]),
        ("background - a hill, foreground - a barn", ["HILL", "BARN"]),
        # Regions of programs
        ("COUPLE MASK(0 0.5) old sled COUPLE MASK(0.5 1) wire cage FILL()", ["old SLED", "wire CAGE"]),
        ("AREA(0 1, 0 0.5) a comb AND AREA(0 1, 0.5 1) a fan", ["COMB", "FAN"]),
        ("[region 1: 0-40%] a comb [region 2: 40-100%] a fan", ["COMB", "FAN"]),
        ("[top] white cloud [bottom] brown cow", ["white CLOUD", "brown COW"]),
        ("(0,0,512,512): a comb; (512,0,512,512): a fan", ["COMB", "FAN"]),
        ("Region 1 (0-50%): a comb; Region 2 (50-100%): a fan", ["COMB", "FAN"]),
        ("left 30%: a comb / right 70%: a fan", ["COMB", "FAN"]),
        ("(region:left) a comb (region:right) a fan", ["COMB", "FAN"]),
        ("a street, (a panel:1.3) with buttons", ["STREET", "PANEL", "BUTTONS"]),
        ("L: a comb R: a fan", ["COMB", "FAN"]),
        ("#left# a comb #right# a fan", ["COMB", "FAN"]),
        ("top left vole, bottom right owl", ["VOLE", "OWL"]),
        ('left: "old barn, hay", right: "owl"', ["old BARN", "HAY", "OWL"]),
        ("Area 1 [0,0,0.5,1]: barn; Area 2 [0.5,0,1,1]: owl", ["BARN", "OWL"]),
        ("1girl 2boys, barn", ["1GIRL", "2BOYS", "BARN"]),
        # Headings in brackets, behind dashes and slashes, with arrows
        ("[Main subject] a vole | [Action] eating a nut | [Mood] calm", ["VOLE eating", "NUT"]),
        ("(subject) a vole (setting) old barn (style) realistic", ["VOLE", "old BARN"]),
        ("subject - vole; action - digging in mud; style - ink", ["VOLE digging", "MUD"]),
        ("Ship: a barge - Crew: two monks - Style: ink", ["BARGE", "two MONKS"]),
        ("subject: a vole // place: old barn // tone: calm", ["VOLE", "old BARN"]),
        ("Subject → a vole\nStyle → ink", ["VOLE"]),
        ("<subject>a vole</subject> <style>ink</style> <params>steps 9, cfg 3</params>", ["VOLE"]),
        ('subject: "a vole", location: "old barn"', ["VOLE", "old BARN"]),
        ("Model: tall woman\nJewelry: pearls\nPhotographer: Vorp Nastle", ["tall WOMAN", "PEARLS"]),
        ("Prompt: a vole\nModel: vorp_xl, Seed: 3", ["VOLE"]),
        ("Hair: short black. Eyes: green. Outfit: old cape.", ["HAIR short black", "EYES green", "old CAPE"]),
        ('"subject": "a vole", "place": "old barn"', ["VOLE", "old BARN"]),
        ('{"subject": "a vole", "pose": "digging"}', ["VOLE"]),
        ("Title: Lost Barn\nSubject: a vole\nFont: serif", ["VOLE"]),
        ("Subject| a vole; Place| old barn; Style| ink", ["VOLE", "old BARN"]),
        ("A) a vole B) a barn", ["VOLE", "BARN"]),
        # Media and designs
        ("minimalist logo of a vole --v 6", ["LOGO", "VOLE"]),
        ("vintage travel poster, a barn", ["BARN"]),
        ("pixar style grumpy vole, a jug", ["grumpy VOLE", "JUG"]),
        ("detailed close up of a vole's eye", ["vole's EYE"]),
        ("cinematic shot from a horror film, a barn", ["BARN"]),
        ("a vole, green, Nastle magazine", ["VOLE"]),
        ("children's book illustration, a barn", ["BARN"]),
        ("a barn, two voles, Vorp Nastle, soft light", ["BARN", "two VOLES"]),
        # Lettering
        ('a sign that says "OPEN" on a door', ["SIGN says OPEN", "DOOR"]),
        ("a license plate reading ABC 123 on a truck", ["license PLATE reading ABC 123", "TRUCK"]),
        ("a banner 'SAVE US', two drums", ["BANNER SAVE US", "two DRUMS"]),
        ('a cake, text: "Happy Day Ann" in icing', ["CAKE Happy Day Ann", "ICING"]),
        ('a menu board listing "Soup" by a door', ["menu BOARD listing Soup", "DOOR"]),
        # Negation
        ("a no parking sign by a gate", ["no parking SIGN", "GATE"]),
        ("a desk with nothing but a laptop", ["DESK", "LAPTOP"]),
        # Sentences
        ("She carefully opens a box.", ["opens BOX"]),
        ("A hawk circles over a field. Steam rises from a pot.", ["HAWK circles", "FIELD", "STEAM rises", "POT"]),
        ("A man in a burning building. The overall mood is calm.", ["MAN", "burning BUILDING"]),
        ("In the background, a kite. On the left stands a chair.", ["KITE", "CHAIR"]),
        # Verbs of sentences that look like nouns or adjectives
        ("A tailor pins a hem. Wasps swarm around a jam jar.", ["TAILOR pins", "HEM", "WASPS swarm", "jam JAR"]),
        ("A pot boils and spits hot oil.", ["POT boils spits", "hot OIL"]),
        ("Thunder clouds gather over a plain.", ["Thunder CLOUDS gather", "PLAIN"]),
        ("Bags of flour line a cellar wall.", ["BAGS line", "FLOUR", "cellar WALL"]),
        ("A groom and his mother waltz in a barn.", ["GROOM", "MOTHER waltz", "BARN"]),
        ("A potter is kneading wet clay.", ["POTTER kneading", "wet CLAY"]),
        ("A lamp makes the brass bells gleam.", ["LAMP makes", "brass BELLS gleam"]),
        ("We glimpse a heron.", ["glimpse HERON"]),
        ("A jug stands beside an oil can.", ["JUG stands", "oil CAN"]),
        # Adjectives of sentences without their noun
        ("The cake looks moist, dark and sticky.", ["CAKE looks moist dark sticky"]),
        ("A dog lies on a rug, unaware of the thief.", ["DOG lies unaware", "RUG", "THIEF"]),
        ("A man walks, his cap pulled low over his ears.", ["MAN walks", "CAP pulled low", "EARS"]),
        ("a van painted bright green, a dog", ["VAN painted bright green", "DOG"]),
        # What cannot be seen
        ("A nurse sits alone. There is a sense of sorrow and quiet dignity.", ["NURSE sits alone"]),
        ("A boat drifts by. The scene evokes serenity. Everything is still.", ["BOAT drifts by"]),
        ("A clown juggles plates, giving the picture a playful charm.", ["CLOWN juggles giving", "PLATES"]),
        ("A bird sings in the hazy distance.", ["BIRD sings"]),
        ("Its wallpaper peels. Blueprints cover a bench.", ["WALLPAPER peels", "BLUEPRINTS cover", "BENCH"]),
        # Nouns in a row
        (
            "walnut desk globe velvet chair parrot open window",
            ["walnut DESK", "GLOBE", "velvet CHAIR", "PARROT", "open WINDOW"],
        ),
        (
            "snowy garden stone lantern koi pond wooden bench oak tree",
            ["snowy GARDEN", "stone LANTERN", "koi POND", "wooden BENCH", "oak TREE"],
        ),
        ("rusty mill copper pots oak barrels old ladder", ["rusty MILL", "copper POTS", "oak BARRELS", "old LADDER"]),
        ("tall church stained glass windows red carpet", ["tall CHURCH", "stained glass WINDOWS", "red CARPET"]),
        (
            "white boat striped flag grey harbor ripe plums striped box",
            ["white BOAT", "striped FLAG", "grey HARBOR", "ripe PLUMS", "striped BOX"],
        ),
        ("Behind her stand a horse and a dog.", ["stand HORSE", "DOG"]),
        ("Pans hang on a wall and gleam under lamps.", ["PANS hang gleam", "WALL", "LAMPS"]),
        ("A moth drifts around him and slowly spins.", ["MOTH drifts"]),
        ("a robot made of tin cans sits on a rock", ["ROBOT made sits", "tin CANS", "ROCK"]),
        ("a cup, water ripples", ["CUP", "water RIPPLES"]),
        ("a samurai at a gate in rain, ghost of tsushima style", ["SAMURAI", "GATE", "RAIN"]),
        ("brown bear cub glacier green water national geographic photo", ["brown bear CUB", "GLACIER", "green WATER"]),
    ],
)
def test_content(prompt: str, wanted: list[str]) -> None:
    assert content(prompt) == wanted


@pytest.mark.parametrize(
    ("prompt", "absent"),
    [
        ("a pond --no people, text --ar 3:2", ["people", "text"]),
        ("a woman without makeup, no jewelry", ["makeup", "jewelry"]),
        ("a kitchen free of clutter", ["clutter"]),
        ("a knight, neither helmet nor shield", ["helmet", "shield"]),
        ("a cat that isn't wearing a collar", ["collar"]),
        ("Prompt: a fox\nNegative prompt: blurry fur, two tails", ["blurry fur", "two tails"]),
        ("scenery, no_humans, a pier", ["humans"]),
        ("a crown instead of a hat", ["hat"]),
        ("a sailor, avoid tattoos", ["tattoos"]),
        ("A hall. Leave out any guests and balloons.", ["guests", "balloons"]),
        ("A hall. Avoid text, logos and a red carpet. Two lamps.", ["text", "logos", "red carpet"]),
        ("a red hat", []),
        ("a tree with no leaves and a crow", ["leaves"]),
        ("a chess board missing its queen", ["queen"]),
        ("a truck, its doors missing", ["doors missing"]),
        ("a lake, don't put any huts, cabins or roads in it", ["huts", "cabins", "roads"]),
        ("a garden absent of statues, sans fence", ["statues", "fence"]),
        ("a shelf with everything except dolls", ["dolls"]),
    ],
)
def test_what_must_not_be_there(prompt: str, absent: list[str]) -> None:
    tree = parse_prompt(prompt)
    assert [phrase.text for phrase in tree.absent] == absent
    said = {word.text for phrase in tree for word in phrase.words}
    assert said.isdisjoint(word for text in absent for word in text.split())


def ancestors(prompt: str) -> dict[str, str | None]:
    tree = parse_prompt(prompt)
    heads = [phrase.head.text for phrase in tree]
    return {
        phrase.text: None if phrase.ancestor is None else heads[phrase.ancestor]
        for phrase in tree
        if not phrase.is_style
    }


def test_what_hangs_on_whom() -> None:
    assert ancestors("vocaloid, 1girl, red_hair") == {"vocaloid": None, "1girl": "vocaloid", "red hair": "1girl"}
    regions = ancestors("a park BREAK a king, red cape BREAK a queen, blue cape")
    assert regions == {"park": None, "king": "park", "red cape": "king", "queen": "park", "blue cape": "queen"}
    assert ancestors("girl with fox ears orange hair")["orange hair"] == "girl"


def test_other_languages() -> None:
    tree = parse_prompt("ein roter Fuchs im Schnee, Abendlicht, a red fox")
    assert [(phrase.text, phrase.language) for phrase in tree] == [
        ("ein roter Fuchs im Schnee", "German"),
        ("Abendlicht", "German"),
        ("red fox", ""),
    ]
    assert tree.foreign == (0, 1)
    assert tree.english.strip(" ,") == "a red fox"
    assert tree.taken_for_english().foreign == ()
    assert tree.taken_for_english().phrases[0].text == "ein roter Fuchs im Schnee"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("The telephoto lens compresses the distance.", []),
        ("The photo has a shallow depth of field and a calm mood.", []),
        ("The artwork is drawn with delicate ink lines and soft washes.", []),
        ("The photographer uses a slow shutter, so her skirt smears.", ["SKIRT smears"]),
        ("A large softbox to the right produces flattering light.", []),
        ("Shot on an old phone, it should feel like a real picture.", []),
        ("It reads like a page from a bedtime story.", []),
        ("It was captured on slide film with a slight haze.", []),
        ("It is a peaceful scene with a lamp.", ["LAMP"]),
        ("Make it look like a still from an animated movie.", []),
        ("Use deep purples and warm golds.", []),
        ("Please keep the depth of field shallow.", []),
        ("The image shows a close-up of a frog on a leaf.", ["FROG", "LEAF"]),
        ("The lighting is soft, emphasizing the texture of every whisker.", ["WHISKER"]),
        ("The perspective is low, taken near the tracks.", ["TRACKS"]),
        ("A camera hangs from a hook.", ["CAMERA hangs", "HOOK"]),
        ("Chalk drawings cover the pavement.", ["Chalk DRAWINGS cover", "PAVEMENT"]),
        ("A box holds a scatter of coins.", ["BOX holds", "SCATTER", "COINS"]),
    ],
)
def test_what_is_said_about_the_picture(said: str, wanted: list[str]) -> None:
    assert content(f"A cat sits on a mat. {said}") == ["CAT sits", "MAT", *wanted]


def test_a_clause_behind_and_has_its_own_verb() -> None:
    found = content("His cape flaps in the gale and his boots sink into the snow.")
    assert found == ["CAPE flaps", "GALE", "BOOTS sink", "SNOW"]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("an office, framed botanical prints, flickering fluorescent lights", ["framed botanical PRINTS", "LIGHTS"]),
        ("a detective in a trench coat lighting a cigarette", ["DETECTIVE lighting", "trench COAT", "CIGARETTE"]),
        ("a terrace, ambient light, gentle greens", ["TERRACE"]),
    ],
)
def test_style_words_that_are_things(prompt: str, wanted: list[str]) -> None:
    found = content(prompt)
    assert all(any(phrase.endswith(head) for phrase in found) for head in wanted)
    assert not any(word in phrase for phrase in found for word in ("greens", "ambient"))
