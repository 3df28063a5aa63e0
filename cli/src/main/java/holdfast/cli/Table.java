package holdfast.cli;

import java.util.ArrayList;
import java.util.List;

/** Rows of text in columns as wide as their widest entry. */
final class Table {
    private final List<String[]> rows = new ArrayList<>();

    Table(String... header) {
        rows.add(header);
    }

    void row(String... cells) {
        if (cells.length != rows.getFirst().length) {
            throw new IllegalArgumentException(
                    cells.length + " cells, expected " + rows.getFirst().length);
        }
        rows.add(cells);
    }

    List<String> lines() {
        int columns = rows.getFirst().length;
        int[] widths = new int[columns];
        for (String[] row : rows) {
            for (int i = 0; i < columns; i++) {
                widths[i] = Math.max(widths[i], row[i].length());
            }
        }
        List<String> lines = new ArrayList<>();
        for (String[] row : rows) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < columns; i++) {
                line.append(row[i]);
                if (i < columns - 1) {
                    line.repeat(' ', widths[i] - row[i].length() + 2);
                }
            }
            lines.add(line.toString().stripTrailing());
        }
        return lines;
    }
}
