"""The words in which agents say that a call was denied or failed. Mostly data.

They were collected from the sources of the agents that `tests/core/data/failed_results.json` names.
A refusal is recognised by the *roles* of its words (who refused, and what), so that an agent with
other words for the same is understood, too. An error is recognised by the beginning of its first
sentence. All texts are in lower case.
"""

from __future__ import annotations

import re

# -- refusals -----------------------------------------------------------------------------------

# Each word of a sentence stands for its role, one letter each; "o" is any other word.
_ROLES = {
    # P: a person.
    "P": "user users human humans person people operator reviewer approver administrator admin"
    " owner supervisor developer maintainer client customer you",
    # G: what guards calls on behalf of a person.
    "G": "policy policies rule rules ruleset hook hooks sandbox guardrail guardrails guardian"
    " classifier inspector moderator moderation allowlist denylist blocklist settings configuration"
    " mode filter security safety permissions cline_command_permissions",
    # C: what is denied.
    "C": "tool tools call calls calling use usage invocation execution execute operation action"
    " edit edits editing change changes command commands request patch apply_patch write writes"
    " writing deletion modification modifications update replacement diff confirmation question"
    " plan dialog expansion step steps proceed run continue",
    # M, S: what is not given; the second may be given by a system, too.
    "M": "approval authorization authorisation consent",
    "S": "permission access",
    # R, r: refuses.
    "R": "denied rejected declined refused cancelled canceled aborted interrupted skipped blocked"
    " disallowed forbade forbidden dismissed vetoed stopped halted prevented prevents revoked"
    " withheld disapproved disabled rejecting denying declining cancelling canceling aborting"
    " refusing skipping",
    "r": "deny reject decline refuse cancel abort interrupt skip block disallow forbid dismiss veto"
    " stop",
    # N with A, W, X: does not approve, does not want, was not run.
    "N": "not never cannot didn't doesn't don't haven't hasn't wasn't isn't weren't won't couldn't"
    " aren't",
    "A": "approve approved allow allowed permit permitted grant granted confirm confirmed authorize"
    " authorized authorise authorised accept accepted agree agreed consented given",
    "W": "want wish like",
    "X": "executed performed applied attempted changed modified written edited saved",
    # B, a, d, b, e: words between these.
    "B": "was were is been be being got has have had",
    "a": "just also then explicitly manually automatically chose opted decided asked want wants"
    " wanted did do does to yet now already auto",
    "d": "the this that these your a an my its all any our it them",
    "b": "by",
    "e": "because due before after and so with in for but until as via since",
    # h: what makes a sentence general or conditional, as in documentation.
    "h": "if when whenever unless may might can could should would must will whether once who how"
    " why where which what says are",
}
ROLE_OF = {word: role for role, words in reversed(_ROLES.items()) for word in words.split()}

_BY = "b[odCMS]{0,6}[PG]"
_END = f"(?:$|e|{_BY})"  # what may follow a complete sentence
# What may follow "the user rejected": nothing, or what was rejected.
_WHAT = f"(?:[da]{{0,2}}{_END}|[doGPRaSAX]{{0,5}}[CMS])"
_REFUSED = "(?:R|N[Ba]{0,3}A)"
_NOT_GIVEN = rf"(?:(?:[MS](?:[odaCPe]{{1,14}}|[Ba])|M)[Ba]{{0,4}}{_REFUSED}|[MS]NA)"
REFUSALS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"e?[odGP]{{0,3}}P[Bad]{{0,5}}R{_WHAT}",  # the user has just rejected the tool call
        rf"e?[odGP]{{0,3}}P[Ba]{{1,3}}r{_WHAT}",  # the user chose to skip the tool call
        # the user does not want this edit
        rf"e?[odGP]{{0,3}}P[Ba]{{0,3}}N[Ba]{{0,3}}[AMWCXr]{{1,2}}{_WHAT}",
        # the tool call was not approved
        rf"[odMGe]{{0,7}}C[odCMSGae]{{0,8}}[Ba]{{0,4}}{_REFUSED}a?{_END}",
        rf"[odCeBa]{{0,4}}{_REFUSED}o{{0,2}}{_BY}",  # denied by the user
        rf"[ode]{{0,4}}{_NOT_GIVEN}{_END}",  # permission for this was declined
        rf"[ode]{{0,4}}[MS][od]{{0,2}}{_REFUSED}o{{0,2}}{_BY}",  # permission denied by the user
        # requested permissions to write, but you haven't granted it
        r"[odP]{0,6}[oBa]{0,2}[MG]a?[oCdeP]{0,14}P?N[Ba]{0,2}A",
        rf"[odGaC]{{0,4}}G[odC]{{0,3}}R[dP]?{_WHAT}",  # a rule prevents this tool call
        r"d?P[Bo]{1,2}[od]{1,2}Go?h?R",  # the user has specified a rule which prevents you
        r"Rd{0,2}C[^h]{0,12}e[oda]{0,2}P[Ba]?R",  # skipping tool [x] due to user rejecting
    )
)
# The complete text of a short result: "Not approved.", "Edit declined".
REFUSED_ALONE = re.compile(rf"[Cd]{{0,3}}{_REFUSED}$")
# A call that was not run, for a reason that need not be a person's decision.
NOT_RUN = re.compile(r"[odC]{0,5}C[odC]{0,3}[Ba]{0,3}N[XC]|[odC]{0,6}[Ba]NX(?:$|e)|NX$")


# -- sentences ----------------------------------------------------------------------------------

# Names for patterns, used in the sentences below.
_NAMES = {
    "{person}": r"(?:users?|humans?|person|operator|reviewer|approver)",
    "{no}": r"(?:with )?['\"`]?(?:no|deny|denied|reject(?:ed)?|cancel|declined?|esc)\b",
    "{refused}": r"(?:denied|rejected|declined|refused|cancell?ed|aborted|interrupted|skipped"
    r"|disallowed|not (?:approved|allowed|permitted|confirmed|authori[sz]ed))",
    "{q}": r"['\"`]?",
    "{tool}": r"(?:the |your )?(?:tool|function|mcp|command|operation|action|request|query|code"
    r"|editor|background command)(?: (?:call|execution|use|invocation|operation))?"
    r"(?: ['\"`]?[\w./:-]{1,60}['\"`]?)? (?:was |is |has |execution )?",
    "{thing}": r"(?:file|path|director(?:y|ies)|folder|module|resource|tool|function|command|server"
    r"|agent|key|notebook|cell|image|document|url|uri|symbol|argument|parameter|option|field|property"
    r"|value|line|column|table|variable|package|string|text|snippet|block|context|hunk|pattern|content"
    r"|anchor|match|occurrence|section|action|call)s?",
    "{file}": r"(?:file|path|director(?:y|ies)|folder|module|resource|text|key|document|notebook"
    r"|image)s?",
    "{deed}": r"(?:command|operation|process|build|execution|search|verification|validation"
    r"|replacement|update|write|download|upload|connection|fetch|lookup)",
    "{doing}": r"(?:execut|run|invok|call|us|process|appl|edit|writ|read|pars|load|open|fetch"
    r"|search|creat|updat|delet|access|sav|validat|find|tool|code pars)\w*",
    # What an edit is about.
    "{piece}": r"(?:old_?(?:string|str|text|content)|new_?(?:string|str|text)|(?:the )?(?:search"
    r"|old|original|target|specified|given|provided|expected|exact|matching)?[ _-]?(?:string|text"
    r"|snippet|block|context|hunk|content|anchor))s?",
    "{missing}": r"(?:not found|n[o']t (?:be )?(?:found|match|exist|appear|present|located)"
    r"|(?:does|did) not (?:match|appear|exist|occur)|doesn't (?:match|appear|exist)"
    r"|could not be found|is missing|is required|not available|not a valid)",
    "{matches}": r"(?:match|occurrence)(?:es|s)?",
    "{kind}": r"(?:tool|internal|unexpected|unhandled|runtime|fatal|unknown|system|network|syntax"
    r"|server|api|critical|execution|connection|i/o|io|parse|parsing|type|value|compilation|build|mcp)",
    "{code}": r"(?:\s?\((?:code )?[\w -]{1,20}\)|\s-?\d{2,6}|\[\w+\])?",
}


def _beginning(sentences: str) -> re.Pattern[str]:
    """A pattern of sentences, one per line; a line that is indented by two continues a sentence."""
    whole = sentences.replace("\n  ", "")
    lines = [line for line in whole.split("\n") if line and not line.startswith("# ")]
    pattern = "|".join(lines)
    for name, meaning in _NAMES.items():
        pattern = pattern.replace(name, meaning)
    return re.compile(pattern)


# Refusals that name nobody, and those that only one agent uses.
REFUSAL = _beginning(
    r"""
# OpenHands
stop button pressed
(?:the )?{person} (?:said|answered|replied|clicked|pressed|selected|chose) {no}
(?:the )?{person}(?:'s)? (?:feedback|response|decision|answer|choice)\s*:\s*{no}
human[- ]in[- ]the[- ]loop\s*:\s*{no}
# Claude Code
stop what you are doing and wait for the user
# goose
(?:let the user know )?the tool call was skipped
# Google ADK, Cline
[^.\n]{1,120}requires (?:confirmation|approval)(?: but|,|\.|$)
# Gemini CLI, Vercel's AI SDK: their header
(?:operation|tool execution|request) (?:cancell?ed|denied|interrupted)\.
# Codex, its reviewer
(?:this action was )?rejected due to
# Cline and Roo, .clineignore and .rooignore
access (?:to [^\n]{1,200} )?(?:is )?blocked by
"""
)
# Texts with the words of a refusal that are not refusals.
NOT_A_REFUSAL = _beginning(
    r"""
permission denied(?! by)
operation not permitted
(?![^.\n]{0,120}\b{person}\b)[^\n]{0,200}\b(?:automatically cancel|timeout|time limit|exceeded)
(?![^.\n]{0,120}\b{person}\b)[^\n]{0,200}\b(?:took (?:more|longer)|runtime error|by an error)
(?![^.\n]{0,120}\b{person}\b)[^\n]{0,200}\b(?:before completion|did not produce)
[^\n]{0,200}\bconnection (?:was )?(?:refused|aborted|reset)
"""
)
# A refusal inside a text that is an error in any case.
REFUSAL_INSIDE = _beginning(
    r"""
\b{refused} by (?:the )?(?:[\w.'-]+ ){0,2}?(?:{person}|policy|rules?|hooks?|guardrails?)\b
\buser (?:reason|feedback):
\b(?:tool )?(?:call|execution) denied\b
"""
)
# Errors that only an edit can have. They may quote any text.
FAILED_EDIT = _beginning(
    r"""
{piece}(?: to (?:replace|edit|find|search for))?[^.\n]{0,200}? (?:was |were |is )?{missing}
(?:[^a-z\n]{0,4})?{piece}[^.\n]{0,60}? (?:must (?:appear|match|be)|appears|occurs|match(?:es|ed))
{piece}[^.\n]{0,60}? (?:was|is) (?:found|not unique)
(?:the )?{piece} and {piece} (?:are|must|cannot)
(?:no|0|zero) (?:exact )?(?:match(?:ing \w+)?|{matches}|replacements?|edits?|changes?)(?: (?:was
  |were))? found (?:for|of|in)
(?:no|0|zero) (?:exact )?(?:match(?:ing \w+)?|{matches}) for\b
no (?:replacements?|edits?|changes?)(?: (?:was|were))? (?:performed|made\b|applied|to (?:make
  |apply)\b)
(?:found )?(?:\d+|multiple|several|more than one) (?:exact )?{matches} of the string to replace
(?:found )?(?:\d+|multiple|several|more than one) (?:exact )?{matches} (?:(?:were )?found )?(?:for
  |of) (?:the )?(?:old|search)
found multiple\b
expected (?:exactly )?\d+ (?:{matches}|replacements?) but
(?:# )?\d* ?search/replace blocks? failed
(?:the llm )?did not conform to the edit format
[\w ]{0,30}?\b(?:apply_patch|patch|diff|hunk|edits?|editor)\b[\w #]{0,30}? (?:failed|(?:does|did)
   not apply)
[\w ]{0,30}?\b(?:patch|diff|hunk|edits?)\b[\w #]{0,30}? (?:could not be applied|has introduced new)
# git apply
error: (?:[^\n:]{1,200}: )?patch (?:failed|does not apply)
some edits were produced but none
(?:the )?file (?:[^\n]{1,200} )?has (?:not been (?:fully )?read|been
   (?:unexpectedly )?modified since)
(?:file )?[^\n]{0,200}already contains the exact content
you must (?:first )?read (?:the )?
(?:new )?content is (?:the same as|identical)
"""
)
# All other errors. A message must follow: if other records follow, the text shows something.
FAILED = _beginning(
    r"""
# about the call
(?:the )?(?:[\w-]{1,40} )?tool was called with invalid
\w+_\w+ failed\b
(?:i )?encountered (?:an )?error
(?:an|some) (?:\w+ ){0,2}(?:error|exception|problem) (?:has )?(?:occurred|happened)
something went wrong|errors? occurred
nothing (?:was |has been )?(?:changed|replaced|written|edited|applied)\b
[\w ]{1,60} (?:returned|raised|threw|encountered) an? (?:error|exception)\b
(?:\w+ ){1,5}(?:did not|didn't) (?:succeed|work|complete|finish)\b
error (?:occurred )?(?:while|when|in|on|during)? ?{doing}\b[^\n]*[:.]
{tool}(?:failed|errored|timed out|terminated after|aborted before|automatically cancelled)
{tool}not (?:found|available|advertised|listed|executed|a valid|recognized)
{tool}(?:cancelled because it|interrupted(?: by an error| and did)|limit exceeded|repetition limit)
{tool}(?:called with invalid|does not exist|is not allowed)
(?:tool )?execution (?:error|aborted|failed|was interrupted by an error)
(?:the )?{q}[\w.-]{1,60}{q} is not (?:a valid tool|listed in)
model tried to call
action [^\n]{1,60} (?:don't|doesn't|does not) exist
unsupported call:
the script ran, then exited with an error
the action has not been executed due
(?:status|outcome)\s*[:=]\s*(?:error|failed|failure)\b
# about its arguments
(?:missing|invalid|unknown|unsupported|unrecogni[sz]ed) (?:value for |required |tool |json |input
   |function )*(?:{q}[\w.-]+{q} )??(?:{thing}|json|input|name|request|type|regex|format)\b(?= ?
  (?:[:.,'\"`(]|$|\n|used|name|provided|for|\S+[,.:]))
invalid ['\"`]\w+['\"`](?: \w+)?:
params must have|your input to the tool was invalid
(?:file )?path must be absolute
(?:[\w-]+: )?{q}\w+{q} (?:argument |parameter )?is required\b
(?:the )?{q}\w+{q} (?:parameter|argument) (?:was|is) (?:empty|missing|required|invalid)
(?:argument|parameter|field|property) {q}\w+{q} is (?:required|missing|invalid)\b
\d+ validation errors?\b
(?:\w+ )?validation (?:error|failed)
# of a language: "Error: …", "[ERROR] …", "FileNotFoundError: …", "error[E0425]: …"
(?:(?:{kind} )?[a-z0-9.]*(?:error|exception)|tool_\w*error|err|fatal|failure
  |panic)\]?{code}\s?(?::(?!:)|!)\s*\S
failed\s?:(?!:)\s*[^\s\d]
\[?(?:error|fatal|failed)\]\s*[^\s\d]
error (?:while|when) \w+|(?:internal|unexpected|unknown) error\b|syntax error\b
(?:error|failed|failure)[.!]?$|(?:error|failure)\n+\s*[a-z]+ \w+ \w+
(?:error|exception) \w+ing [^\n]{1,200}:\s
traceback \(most recent call last\)
thread '[^'\n]{0,100}' panicked
-32\d{3}:|mcp error
(?:i (?:was|am) )?(?:failed|unable|not able) to \w+
(?:i )?(?:cannot|can't|could not|couldn't) (?!be\b)\w+
# of a system
\[errno -?\d+\]|e(?:noent|acces|perm|exist|isdir|notdir|mfile|busy|timedout|connrefused|connreset)\b
{file} (?:already exists|not found|not accessible|is a directory)(?=\s*(?:[:.,;!'\"`(]|$|\n|in\b
  |at\b))
(?:the |this )?(?:specified |given |requested |working )?{thing}(?: name)?(?: (?:at
   |path:? )?['\"`(]?\S{1,300})? (?:does(?:n't| not) exist|was not found|not found(?=[.:,!]|$|\n))
(?:the |this )?(?:specified |given |requested )?{thing}(?: (?:at
   |path:? )?['\"`(]?\S{1,300})? could not be (?:found|opened|read)
(?:the |this )?{thing}(?: (?:at |path:? )?['\"`(]?\S{1,300})? is (?:a directory|outside|not (?:a|in
  |within|inside|valid))
(?:[^\s:]{1,200}: )?(?:(?:line )?\d+: )?(?:[^\s:]{1,200}: )?(?:no such file or directory
  |command not found)\b
(?:[^\s:]{1,200}: )?(?:(?:line )?\d+: )?(?:[^\s:]{1,200}: )?(?:permission denied
  |operation not permitted|is a directory)\b
(?:[^\s:]{1,200}: )?(?:(?:line )?\d+: )?(?:[^\s:]{1,200}: )?(?:not a directory|file exists
  |no space left)\b
(?:[\w./-]{1,60}: ){1,2}(?:cannot|can't|could not|unable to|failed to|invalid option) \w+
no such (?:file|directory|tool|function|command|module)\b
{q}[\w.-]+{q} is not recognized as
make(?:\[\d+\])?: \*+ |npm err!
access (?:is )?(?:denied|blocked|forbidden)\b(?! by default)
(?:[\w-]+ ){0,5}timed out\b|timeout(?: (?:after|of|while|exceeded|waiting)\b|:|!|$)
not an? (?:file|directory|valid|text|regular|git)\b
(?:operation|permission|access|path)[^.\n]{0,80} (?:is )?not (?:permitted|allowed)\b
(?:\w+ ){0,3}{deed} failed(?:: | with| due| because| at\b|\.|$)
(?:http |status |error )?[45]\d\d:? (?:internal|bad|not found|forbidden|unauthori[sz]ed|service
  |gateway|too many)
http [45]\d\d\b
(?:not found|unauthori[sz]ed|forbidden|bad request|internal server error)(?:[:.!]|$)
(?:rate limit exceeded|out of memory|killed|segmentation fault)(?: \(core dumped\))?(?:[:.!]|$)
"""
)
# Frameworks that ask the model to try again append this to an error: pydantic-ai, smolagents.
FAILED_BEHIND = re.compile(
    r"\n\s{0,8}(?:please )?fix (?:the errors?|your mistakes?)(?: and try again)?[.!]?$"
    r"|\nnow let's retry: take care not to repeat previous errors"
)
# Texts that report success, or that count zero errors.
FINE = _beginning(
    r"""
success|succeeded|replaced|updated|wrote|created|applied|added|saved|edited|deleted|removed|renamed
moved|done\b|ok\b
(?:the file|changes|edits?|patch) [^\n]{0,300}(?:has been|have been|were|was) ?(?:updated|created
  |edited|written|applied)\b(?! by)
(?:changes|edits?|patch) applied\b
error\s?: ?(?:(?:0|nil|null|false)\b|\[\]|\{\})
(?:last error|errors|error \w+|failed|failures?|fatal)(?: \w+)?\s?: ?(?:(?:0|none|nil|null|false)\b
  |no$|\[\]|\{\})
"""
)
