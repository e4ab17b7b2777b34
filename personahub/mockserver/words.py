"""Word lists of the mock server's simulated personas. Plain data: every combination reads as a person."""


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


ADJECTIVES = _split(
    "adventurous|analytical|articulate|attentive|award-winning|bilingual|budget-minded|burned-out|careful|charismatic|"
    "community-minded|conscientious|creative|curious|data-driven|dedicated|detail-oriented|determined|disciplined|"
    "early-career|eloquent|energetic|enterprising|ethical|experienced|experimental|first-generation|freelance|frugal|"
    "hands-on|imaginative|independent|inquisitive|introverted|inventive|itinerant|meticulous|mid-career|multilingual|"
    "nostalgic|observant|outspoken|part-time|passionate|patient|perceptive|persistent|pragmatic|principled|"
    "recently retired|reflective|resourceful|rural|safety-conscious|seasoned|self-taught|semi-retired|skeptical|"
    "small-town|soft-spoken|systematic|tech-savvy|thoughtful|tireless|veteran|versatile|well-travelled|young"
)

OCCUPATIONS = _split(
    "accountant|acoustic engineer|agronomist|air traffic controller|ambulance dispatcher|anthropologist|archaeologist|"
    "architect|archivist|astronomer|baker|beekeeper|bicycle mechanic|bookbinder|botanist|bus driver|carpenter|"
    "cartographer|chemistry teacher|choir conductor|city planner|civil engineer|climate scientist|clinical pharmacist|"
    "coffee roaster|court interpreter|cybersecurity analyst|dairy farmer|dental hygienist|documentary filmmaker|"
    "ecologist|economist|electrician|elementary school teacher|emergency nurse|epidemiologist|event planner|"
    "fashion designer|firefighter|fisheries biologist|florist|food critic|forest ranger|game developer|genealogist|"
    "geologist|glassblower|graphic novelist|high school principal|historian|hotel manager|immigration lawyer|"
    "insurance actuary|journalist|kindergarten teacher|landscape gardener|librarian|lighthouse keeper|linguist|"
    "logistics coordinator|marine biologist|mathematician|midwife|museum curator|music therapist|neuroscientist|"
    "nutritionist|oceanographer|paramedic|park naturalist|patent examiner|pediatrician|philosopher|physiotherapist|"
    "podcast host|police detective|postal worker|product manager|public defender|radio engineer|railway signaller|"
    "real estate agent|restaurant owner|roboticist|sailing instructor|school counselor|seismologist|social worker|"
    "sociologist|software developer|sound designer|speech therapist|sports coach|statistician|structural engineer|"
    "tailor|tax advisor|theatre director|tour guide|translator|truck driver|trade unionist|urban forester|veterinarian|"
    "violin maker|volunteer coordinator|watchmaker|water engineer|wildlife photographer|winemaker|youth worker"
)

PURSUITS = _split(
    "writes every week about|keeps careful notes on|teaches evening classes about|collects stories about|"
    "runs a small workshop on|wants to understand|has spent years comparing|explains to beginners the link between|"
    "is preparing a talk on|manages a project about|argues with colleagues over|advises local families on|"
    "moderates an online forum about|is sceptical of popular claims about|builds simple models of|"
    "photographs and documents|translates articles about|volunteers for a group concerned with|"
    "is learning late in life about|reviews new books on|measures and records changes in|"
    "draws inspiration for daily work from|organises neighbourhood meetings on|looks for practical uses of|"
    "studies the history of|is writing a thesis on|mentors students in|saves money to travel and see more of|"
    "worries about the future of|helps a small company with"
)

SETTINGS = _split(
    "in a coastal town|in a busy capital|near the mountains|on a tight budget|together with two colleagues|"
    "after a long career change|for a regional newspaper|at a public university|in a family business|"
    "between night shifts|for a non-profit organisation|in a quiet village|with a strong interest in fairness|"
    "while raising three children|with help from retired neighbours|for the local council|at a community centre|"
    "in a remote research station|with more patience than money|for an international team"
)

NAMES = _split(
    "Amara|Bjorn|Carmen|Dilip|Elena|Farid|Grace|Hiro|Imani|Jonas|Katya|Liam|Mei|Nadia|Omar|Priya|Quentin|Rosa|Samir|Tala"
)

# too frequent to tell what a text is about
COMMON = frozenset(
    _split(
        "about|above|after|again|also|although|among|because|been|before|being|below|between|both|cannot|could|does|doing|down|"
        "during|each|else|ever|every|from|further|have|having|here|hers|himself|however|into|itself|just|least|like|made|make|"
        "many|might|more|most|much|must|never|none|only|other|over|please|same|shall|should|since|some|such|than|that|their|"
        "theirs|them|then|there|these|they|this|those|through|today|under|until|upon|very|were|what|when|where|which|while|whom|"
        "whose|will|with|within|without|would|your|yours|yourself|answer|create|describe|given|json|math|only|persona|personas|"
        "problem|read|schema|text|user|word|words|write"
    )
)
