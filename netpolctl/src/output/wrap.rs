//! Fitting text into columns: names stay whole where they can, and break where people would.

/// Characters after which a word that is too long for its column may go on in the next line.
const BREAKS: [char; 6] = ['-', '.', ',', '/', '=', ':'];

/// Widths of columns whose natural widths are `natural`, so that they take `room` together: narrow
/// columns keep theirs, the wide ones share what is left. None gets less than `least`.
pub(crate) fn share(natural: &[usize], room: usize, least: usize) -> Vec<usize> {
    let mut left = room;
    let mut order: Vec<usize> = (0..natural.len()).collect();
    order.sort_by_key(|&column| natural[column]);
    let mut widths = vec![0; natural.len()];
    for (done, column) in order.into_iter().enumerate() {
        let fair = left / (natural.len() - done);
        widths[column] = natural[column].min(fair.max(least));
        left = left.saturating_sub(widths[column]);
    }
    widths
}

/// `text` in lines of `width` characters at most.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("a line");
        let space = usize::from(!line.is_empty());
        if length(line) + space + length(word) <= width {
            line.push_str(&" "[..space]);
            line.push_str(word);
        } else if length(word) <= width {
            lines.push(word.to_owned());
        } else {
            break_word(word, width, &mut lines);
        }
    }
    lines
}

/// Adds a word that no line can hold.
fn break_word(word: &str, width: usize, lines: &mut Vec<String>) {
    let mut space = lines.last().is_some_and(|l| !l.is_empty());
    for piece in word.split_inclusive(BREAKS) {
        let line = lines.last_mut().expect("a line");
        if length(line) + usize::from(space) + length(piece) <= width {
            line.push_str(if space { " " } else { "" });
            line.push_str(piece);
        } else {
            let characters: Vec<char> = piece.chars().collect();
            let parts = characters.chunks(width).map(|c| c.iter().collect());
            lines.extend(parts);
        }
        space = false;
    }
    lines.retain(|l| !l.is_empty());
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_columns_keep_their_width_and_wide_ones_share() {
        assert_eq!(share(&[10, 5, 8], 40, 4), [10, 5, 8]);
        assert_eq!(share(&[50, 5, 50], 45, 4), [20, 5, 20]);
        assert_eq!(share(&[50, 50], 4, 8), [8, 8]);
    }

    #[test]
    fn words_stay_whole_where_a_line_can_hold_them() {
        assert_eq!(wrap("pods app=web in any", 12), ["pods app=web", "in any"]);
        assert_eq!(wrap("", 12), [""]);
    }

    #[test]
    fn a_long_name_breaks_after_its_punctuation() {
        assert_eq!(
            wrap("default-deny-in-namespace-payments", 20),
            ["default-deny-in-", "namespace-payments"]
        );
        assert_eq!(
            wrap("in kubernetes.io/metadata.name=backend", 24),
            ["in kubernetes.io/", "metadata.name=backend"]
        );
    }

    #[test]
    fn what_has_no_punctuation_breaks_at_the_edge() {
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
    }
}
