"""What agents carry along: tokens of tools, as somebody counted them."""

from dataclasses import dataclass

from helpers.arithmetic.catalog.units import CHECKED


@dataclass(frozen=True)
class AgentTool:
    """Tokens that one way to give an agent tools takes, as somebody counted them.

    Attributes:
        name: What was counted.
        tokens: The count.
        kind: ``definitions`` stand in the context at every step; a ``command`` or a ``file`` is read when it is used; a
            ``task`` is everything that the model read and wrote, in all its steps, for one whole task.
        source: Who counted, how, and when.
        date: When the row was checked, YYYY-MM-DD.
    """

    name: str
    tokens: int
    kind: str
    source: str
    date: str


_SCALEKIT = "Scalekit, 11 March 2026: median of its runs with Claude Sonnet 4, GitHub's server with 43 tools"
_TOOLS = (
    # Three counts of one server: it has grown, and each counter has another tokenizer and other tools switched on.
    AgentTool("GitHub's server, 86 tools", 14_406, "definitions", "policylayer.com, by o200k_base, 2026", CHECKED),
    AgentTool("GitHub's server, about", 42_000, "definitions", "Nebulagg on dev.to, 2026", CHECKED),
    AgentTool("GitHub's server, 93 tools, about", 55_000, "definitions", "Piotr Hajdas on dev.to, 2026", CHECKED),
    AgentTool("11 servers, 137 tools", 22_945, "definitions", "0coCeo on dev.to, 2026", CHECKED),
    AgentTool("one team's servers", 143_000, "definitions", "Apideck, 2026", CHECKED),
    AgentTool("one command", 200, "command", "a command line, about; blog.cdrift.com and others, 2026", CHECKED),
    AgentTool("skill file for a command line", 800, "file", "Scalekit, 11 March 2026, about", CHECKED),
    AgentTool("language of a repository, command line", 1_365, "task", _SCALEKIT, CHECKED),
    AgentTool("language of a repository, MCP", 44_026, "task", _SCALEKIT, CHECKED),
    AgentTool("details of a pull request, command line", 1_648, "task", _SCALEKIT, CHECKED),
    AgentTool("details of a pull request, MCP", 32_279, "task", _SCALEKIT, CHECKED),
    AgentTool("metadata of a repository, command line", 9_386, "task", _SCALEKIT, CHECKED),
    AgentTool("metadata of a repository, MCP", 82_835, "task", _SCALEKIT, CHECKED),
)

TOOLS: dict[str, AgentTool] = {tool.name: tool for tool in _TOOLS}
