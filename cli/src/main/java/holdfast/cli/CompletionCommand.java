package holdfast.cli;

import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/** {@code holdfast completion}. */
@Command(
        name = "completion",
        description =
                "Print a completion script for a shell: commands, options, and the names of this"
                        + " node's domains.",
        footer = {"", "Example:", "  source <(holdfast completion bash)"})
final class CompletionCommand extends NodeCommand {
    /** The shells that a script is made for. */
    enum Shell {
        BASH,
        ZSH
    }

    private static final Pattern CHOICES =
            Pattern.compile("(?<=_args=\\()\"[A-Z_]+\"(?: \"[A-Z_]+\")*(?=\\))");

    /** What comes after picocli's own script: the names of domains, where a command takes one. */
    private static final String DOMAINS =
            """

            # Where a command takes a domain, complete from the node's list.
            _holdfast_or_domain() {
              local verb=${COMP_WORDS[1]} current=${COMP_WORDS[COMP_CWORD]}
              case $verb in
                status|pause|unpause|destroy|save|migrate|remus|unprotect|failover)
                  if [ "$COMP_CWORD" -eq 2 ] && [ "${current#-}" = "$current" ]; then
                    COMPREPLY=($(compgen -W "$(holdfast list --names 2>/dev/null)" -- "$current"))
                    return
                  fi ;;
              esac
              _complete_holdfast
            }
            complete -o default -F _holdfast_or_domain holdfast
            """;

    @Parameters(paramLabel = "bash|zsh", description = "The shell.")
    private Shell shell;

    CompletionCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        CommandLine all = Commands.forArguments(holdfast.surroundings, List.of());
        String begin =
                switch (shell) {
                    case BASH -> "";
                    case ZSH ->
                            "autoload -U +X compinit && compinit\n"
                                    + "autoload -U +X bashcompinit && bashcompinit\n";
                };
        say(begin + asTyped(AutoComplete.bash("holdfast", all)) + DOMAINS);
    }

    /** picocli offers choices by the names of Java's constants. */
    private static String asTyped(String script) {
        return CHOICES.matcher(script)
                .replaceAll(found -> found.group().toLowerCase(Locale.ROOT).replace('_', '-'));
    }
}
