# The flights example, from nothing to a question about its lineage: make demo
set -eu
cd "$(dirname "$0")"

tell() { printf '\n# %s\n' "$1"; }

show() { # print a command as it would be typed, then run it
    line='$'
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9/_.=+-]*) line="$line \"$word\"" ;;
            *) line="$line $word" ;;
        esac
    done
    printf '%s\n' "$line"
    "$@"
}

tell "The flights of 2013 as files. No network: a package brings them."
show python get_data.py

tell "Make what pipeline.py declares: tables by month, checks, a grid of models, their scores."
show lineal materialize

tell "Again: everything is known by its content, so there is nothing to do."
show lineal materialize

tell "How good are the models, on three months that they have not seen?"
show lineal sql "select model, round(auc, 3) as auc, round(brier, 3) as brier from scores"

tell "Which of the grid was chosen?"
show lineal sql "select partition, round(value, 4) as auc from lineage.metric
    join lineage.materialization on id = materialization where name = 'auc' order by auc desc"

tell "What would another learning rate cost? A plan runs nothing and says why."
show lineal plan -p candidate.learning_rate=0.1

tell "What was the model made from, down to the columns?"
show lineal lineage delay_model

tell "Which files trained this model? The lineage is tables: ask in SQL."
show lineal sql "select asset, path, digest from lineage.model_training_data
    semi join lineage.current using (materialization) where model = 'delay_model'"

tell "Your turn: edit RUSH in examples/flights/features.py, and type  lineal plan  there."
