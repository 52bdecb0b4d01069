# The flights example, from nothing to production and back: make demo
set -eu
cd "$(dirname "$0")"

tell() { printf '\n# %s\n' "$1"; }

show() { # print a command as it would be typed, then run it
    line='$'
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9/_.=+@-]*) line="$line \"$word\"" ;;
            *) line="$line $word" ;;
        esac
    done
    printf '%s\n' "$line"
    "$@"
}

tell "The flights of 2013 as files. No network: a package brings them."
show python get_data.py

tell "Make what pipeline.py declares: tables by month, checks, a grid of models, their scores.
# As if it were May: the models learn from four months. Nothing is in production yet, so the gate
# opens for the first model that is good enough, and the action deploys it."
show lineal materialize -p split.choose_from=2013-05-01

tell "Now with eight months. What it learns from is new, all else is kept. The model is held against
# the one in production, on flights that neither has seen: it is better, so the gate opens."
show lineal materialize

tell "Again: everything is known by its content, and what is decided is not decided again."
show lineal materialize

tell "A worse one, from a learning rate too great, is stopped. That is no failure: exit code 0."
show lineal materialize -p candidate.learning_rate=1.0

tell "Without that setting all is as it was, and nothing is computed for it."
show lineal materialize

tell "What was registered, what is in production?"
show lineal models

tell "People take it back. The action deploys the version before; the one it left is withdrawn."
show lineal models rollback delays --reason "bad on weekends"

tell "A rollback holds: nothing promotes that version again but a person."
show lineal materialize

tell "From production to the files it was trained on. The lineage is tables: ask in SQL."
show lineal sql "select t.asset, path, digest
    from lineage.alias join lineage.model_training_data t using (registry, version)
    where registry = 'delays' and alias = 'production' and path not like '%flights-%'"

tell "What was the version before made from, down to the columns?"
show lineal lineage delays@v2

tell "Is it what its record says? Compute it again, from what is recorded alone."
show lineal reproduce delays@v2

tell "All of it on one page, with its figures: open examples/flights/service/delay_model.html"
show lineal report delay_model -o service/delay_model.html

tell "Your turn: edit RUSH in examples/flights/features.py, and type  lineal plan  there."
