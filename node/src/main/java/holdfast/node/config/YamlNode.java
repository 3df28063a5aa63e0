package holdfast.node.config;

import java.util.List;

/** A piece of a YAML file that knows where it stands. Lines and columns count from 1. */
sealed interface YamlNode {
    int line();

    int column();

    /** What it is, for messages. */
    String describe();

    record Mapping(int line, int column, List<Entry> entries) implements YamlNode {
        @Override
        public String describe() {
            return "a mapping (key: value)";
        }
    }

    record Sequence(int line, int column, List<YamlNode> items) implements YamlNode {
        @Override
        public String describe() {
            return "a list";
        }
    }

    /** A value as it is written, without quotes. */
    record Scalar(int line, int column, Kind kind, String text) implements YamlNode {
        @Override
        public String describe() {
            return switch (kind) {
                case NOTHING -> "nothing";
                case TEXT -> "\"" + text + "\"";
                case NUMBER, TRUTH -> text;
            };
        }
    }

    /** What YAML takes a scalar for. */
    enum Kind {
        NOTHING,
        TEXT,
        NUMBER,
        TRUTH
    }

    /** A key with its own place. */
    record Entry(String key, int line, int column, YamlNode value) {}
}
