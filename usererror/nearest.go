package usererror

// Nearest returns the word that was probably meant: the candidate with the smallest
// edit distance to word, which must be less than a third of the length of the longer
// one plus one. ok is false if there is none.
func Nearest(word string, candidates []string) (best string, ok bool) {
	least := 0
	for _, c := range candidates {
		limit := (max(len(word), len(c)) + 2) / 3
		if d := distance(word, c); d <= limit && (!ok || d < least) {
			best, least, ok = c, d, true
		}
	}
	return best, ok
}

// distance returns the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
