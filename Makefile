# What one types often. CI runs .ci/run; this file adds nothing to it.
.PHONY: test ci generate bench fuzz

test:
	go test ./...

ci:
	bash .ci/run

# Write asm/ anew.
generate:
	cd gen && go run .

# Every benchmark, ten runs of each, for benchstat.
bench:
	go test -run '^$$' -bench . -count 10 ./bench

# Each fuzz target for a minute.
fuzz:
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime 1m $$package || exit 1; \
		done; \
	done
