package holdfast.node.config;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;

import org.yaml.snakeyaml.error.MarkedYAMLException;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads one YAML document into {@link YamlNode}s. What YAML can do but a description needs not
 * (aliases, tags) is refused.
 */
final class YamlReader {
    private static final int DEPTH_MAX = 16;

    private final String file;
    private final YAMLParser parser;

    private YamlReader(String file, YAMLParser parser) {
        this.file = file;
        this.parser = parser;
    }

    static YamlNode read(String file, String text) {
        try (YAMLParser parser = new YAMLFactory().createParser(text)) {
            YamlReader reader = new YamlReader(file, parser);
            if (parser.nextToken() == null) {
                throw new ConfigException(
                        List.of(new Mistake(file, 1, 1, "the file is empty")), null);
            }
            YamlNode root = reader.node(0);
            if (parser.nextToken() != null) {
                throw reader.mistake("a second document begins here, allowed is one a file");
            }
            return root;
        } catch (JsonProcessingException e) {
            throw syntax(file, e);
        } catch (IOException e) {
            throw new IllegalStateException("reading text in memory failed", e);
        }
    }

    private static ConfigException syntax(String file, JsonProcessingException e) {
        JsonLocation where = e.getLocation();
        int line = where == null ? 1 : Math.max(1, where.getLineNr());
        int column = where == null ? 1 : Math.max(1, where.getColumnNr());
        String problem = e.getOriginalMessage().lines().findFirst().orElse("");
        if (e.getCause() instanceof MarkedYAMLException marked) {
            problem =
                    marked.getProblem()
                            + (marked.getContext() == null ? "" : " " + marked.getContext());
            if (marked.getProblemMark() != null) {
                line = marked.getProblemMark().getLine() + 1;
                column = marked.getProblemMark().getColumn() + 1;
            }
        }
        return new ConfigException(
                List.of(new Mistake(file, line, column, "this is not YAML: " + problem)), e);
    }

    private YamlNode node(int depth) throws IOException {
        int line = line();
        int column = column();
        if (depth > DEPTH_MAX) {
            throw mistake("nested more than " + DEPTH_MAX + " deep");
        }
        if (parser.isCurrentAlias()) {
            throw mistake(
                    "an alias (*"
                            + parser.getText()
                            + ") is not allowed here, write the value again");
        }
        return switch (parser.currentToken()) {
            case START_OBJECT -> mapping(line, column, depth);
            case START_ARRAY -> {
                List<YamlNode> items = new ArrayList<>();
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    items.add(node(depth + 1));
                }
                yield new YamlNode.Sequence(line, column, List.copyOf(items));
            }
            case VALUE_NULL -> new YamlNode.Scalar(line, column, YamlNode.Kind.NOTHING, "");
            case VALUE_TRUE, VALUE_FALSE -> scalar(line, column, YamlNode.Kind.TRUTH);
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> scalar(line, column, YamlNode.Kind.NUMBER);
            case VALUE_STRING -> scalar(line, column, YamlNode.Kind.TEXT);
            case NOT_AVAILABLE, END_OBJECT, END_ARRAY, FIELD_NAME, VALUE_EMBEDDED_OBJECT ->
                    throw mistake("a value of this kind is not allowed here");
        };
    }

    private YamlNode.Scalar scalar(int line, int column, YamlNode.Kind kind) throws IOException {
        return new YamlNode.Scalar(line, column, kind, parser.getText());
    }

    private YamlNode.Mapping mapping(int line, int column, int depth) throws IOException {
        List<YamlNode.Entry> entries = new ArrayList<>();
        Map<String, Integer> lines = new HashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String key = parser.currentName();
            int keyLine = line();
            int keyColumn = column();
            Integer earlier = lines.putIfAbsent(key, keyLine);
            if (earlier != null) {
                throw mistake(
                        key
                                + ": this key stands in line "
                                + earlier
                                + " already; each may stand once");
            }
            parser.nextToken();
            entries.add(new YamlNode.Entry(key, keyLine, keyColumn, node(depth + 1)));
        }
        return new YamlNode.Mapping(line, column, List.copyOf(entries));
    }

    private int line() {
        return Math.max(1, parser.currentTokenLocation().getLineNr());
    }

    private int column() {
        return Math.max(1, parser.currentTokenLocation().getColumnNr());
    }

    private ConfigException mistake(String text) {
        return new ConfigException(List.of(new Mistake(file, line(), column(), text)), null);
    }
}
