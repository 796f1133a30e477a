//! Elastic tab stops: cells that end in a tab are as wide as the widest one of the lines around them that have the same
//! column.

/// Space between two columns.
const GAP: usize = 2;

/// Aligns every line of a text; spaces at line ends are dropped.
pub fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut out = String::with_capacity(text.len() * 2);
    block(&lines, &mut Vec::new(), &mut out);
    out
}

/// Writes lines whose first `widths.len()` columns are known to be that wide.
fn block(lines: &[Vec<&str>], widths: &mut Vec<usize>, out: &mut String) {
    let column = widths.len();
    // The last cell of a line ends no column.
    let has_column = |line: &Vec<&str>| column + 1 < line.len();
    let mut start = 0;
    while start < lines.len() {
        let end = |from: usize, same: bool| {
            let length = lines[from..].iter().take_while(|line| has_column(line) == same).count();
            from + length
        };
        let plain = end(start, false);
        lines[start..plain].iter().for_each(|line| write(line, widths, out));
        start = end(plain, true);
        let aligned = &lines[plain..start];
        if let Some(width) = aligned.iter().map(|line| line[column].chars().count()).max() {
            widths.push(width + GAP);
            block(aligned, widths, out);
            widths.pop();
        }
    }
}

fn write(line: &[&str], widths: &[usize], out: &mut String) {
    let mut shown = String::new();
    for (index, cell) in line.iter().enumerate() {
        let width = widths.get(index).copied().unwrap_or(0);
        shown.push_str(&format!("{cell:<width$}"));
    }
    out.push_str(shown.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_neighbours_need() {
        assert_eq!(
            align("Name:\tx\nA longer name:\ty\nList:\n  a\tb\tc\n  long\tb\tc\nEnd:\tz\n"),
            "Name:           x\nA longer name:  y\nList:\n  a     b  c\n  long  b  c\nEnd:    z\n"
        );
    }
}
